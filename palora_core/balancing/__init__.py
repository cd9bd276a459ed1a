"""Balancers: T losses → gradients; one file each."""
