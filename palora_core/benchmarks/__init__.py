"""Benchmarks: one file each."""

from palora_core.registry import make_callable

make_callable(__name__)  # palora_core.benchmarks() gives what is registered
