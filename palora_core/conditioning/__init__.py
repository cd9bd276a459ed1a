"""Conditionings: how λ enters a network; one file each."""
