"""What the process asks of the machine it runs on."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from palora_core.machine import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():  # what a step does: several large tensors, all of them freed
    return [torch.ones(12 * 2**20) for _ in range(4)] and None
for _ in range(4):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_kept():
    pages = {}
    for way in ("keep", "leave"):
        command = [sys.executable, "-c", FAULTS, way]
        pages[way] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert pages["keep"] < pages["leave"] / 10
