"""Preparation of data sets: one file each, from the raw release on disk to what the benchmark's loader reads."""
