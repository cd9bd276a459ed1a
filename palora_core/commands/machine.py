"""What ``palora doctor`` says about torch and the machine it computes on."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

OLDEST_TORCH = (2, 11)
SIZE, REPEATS = 1024, 5  # of the product that is timed


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        mark: ``"broken"`` is what must be mended; ``"slow"`` and ``"missing"`` are what one may live with.
        text: what was found and, where it is not ok, what to do.
    """

    mark: Literal["ok", "missing", "slow", "broken"]
    text: str


def torch_build() -> Iterator[Finding]:
    """Version and build of torch and torchvision."""
    import torch

    kind = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    found = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if found < OLDEST_TORCH:
        yield Finding(
            "broken", f"torch {torch.__version__} is too old; install torch>={'.'.join(map(str, OLDEST_TORCH))}"
        )
    else:
        yield Finding("ok", f"torch {torch.__version__} ({kind} build)")
    try:
        import torchvision

        yield Finding("ok", f"torchvision {torchvision.__version__}")
    except Exception as error:  # a build for another torch fails in many ways
        reason = str(error).partition("\n")[0]
        yield Finding(
            "broken", f"torchvision does not load ({reason}); install the one made for torch {torch.__version__}"
        )


def processor() -> Iterator[Finding]:
    """Cores, threads and the library behind matrix products."""
    import torch

    from palora_core.machine import describe

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    text = f"{describe()['processor']}: {usable} cores usable, torch computes on {threads} threads"
    if threads > usable:
        yield Finding("slow", f"{text}; set OMP_NUM_THREADS={usable}")
    elif threads < usable and "OMP_NUM_THREADS" in os.environ:  # left to itself torch takes one per physical core
        yield Finding("slow", f"{text}, as OMP_NUM_THREADS says; leave it unset")
    else:
        yield Finding("ok", text)
    one = torch.backends.mkldnn.is_available()
    blas = next(
        (part.partition("=")[2] for part in torch.__config__.show().split(", ") if "BLAS_INFO=" in part), "unknown"
    )
    advice = "" if one else "; convolutions are slow without oneDNN: install torch's official wheel"
    yield Finding("ok" if one else "slow", f"BLAS {blas}, oneDNN {'yes' if one else 'no'}{advice}")


def speed() -> Iterator[Finding]:
    """What bfloat16 brings, measured, where training and serving would compute."""
    import torch

    from palora_core.machine import choose_device, has_fast_bf16

    device = choose_device()
    fp32, bf16 = (seconds(dtype, device) for dtype in (torch.float32, torch.bfloat16))
    rate = 2 * SIZE**3 / fp32 / 1e9
    text = f"{device}: {rate:,.0f} GFLOP/s in fp32; bf16 is {fp32 / bf16:.1f} × as fast"
    if has_fast_bf16(device):
        yield Finding("ok", f"{text}; --precision auto uses it")
    else:
        yield Finding("slow", f"{text}, since the hardware lacks it; --precision auto stays with fp32")


def seconds(dtype: object, device: object) -> float:
    """The fastest of a few matrix products."""
    import torch

    a = torch.ones(SIZE, SIZE, dtype=dtype, device=device)  # type: ignore[call-overload]
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        float((a @ a)[0, 0])  # waits for a GPU
        best = min(best, time.perf_counter() - began)
    return best


def gpus() -> Iterator[Finding]:
    """GPUs that torch can use, or why it cannot."""
    import torch

    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        yield Finding("ok", f"cuda:{index} {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if torch.cuda.is_available():
        return
    if shutil.which("nvidia-smi"):
        why = "its driver is too old for it" if torch.version.cuda else "torch is a build without CUDA"
        yield Finding("slow", f"there seems to be an NVIDIA GPU, which torch cannot use: {why}")
    else:
        yield Finding("missing", "no GPU; everything runs on the processor")
