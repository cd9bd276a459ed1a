"""What this machine is and can do: device, precision, memory layout."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from palora_core.errors import UserError

_DRAWN = {"normal_", "uniform_", "bernoulli_", "exponential_", "erfinv_"}  # what initialisations draw by
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def choose_device(name: str = "auto") -> torch.device:
    """The device ``name``; ``"auto"`` is a GPU where there is one.

    Raises:
        UserError: a device that torch does not know or that is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"Unknown device {name!r}; use auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count()
        raise UserError(f"Device {name!r} is not available here ({count} GPUs found); use auto or cpu.")
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done in hardware on ``device``."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    check = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(check and check())


def multiplies_bf16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 by itself, be it no faster than float32: it reads half as much then."""
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return has_fast_bf16(device) or bool(device.type == "cpu" and check and check())


def precision_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"auto"`` (bf16 where the hardware has it)."""
    if name == "fp16" and device.type != "cuda":
        raise UserError(f"precision fp16 needs a CUDA device, found {device.type}; use fp32, bf16 or auto.")
    if name == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if name not in dtypes:
        raise UserError(f"precision must be auto, fp32, bf16 or fp16, found {name!r}.")
    return dtypes[name]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """A block whose matrix products run in ``dtype``; nothing for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def full_precision(tensor: Tensor) -> AbstractContextManager[Any]:
    """A block in which autocast leaves alone what runs on the tensor's device; nothing where it is off."""
    device = tensor.device.type
    on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if on else nullcontext()


def channels_last(x: Tensor) -> Tensor:
    """``x`` in channels-last layout if it is 4-D.

    A one-channel image counts as contiguous in both layouts, so ``contiguous`` leaves its strides alone and kernels
    take the slow path; the strides are set by hand.
    """
    if x.dim() != 4:
        return x
    x = x.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = x.shape
    return x.as_strided(x.shape, (channels * height * width, 1, width * channels, channels))


def channels_last_(module: nn.Module) -> None:
    """Give the 4-D parameters and buffers of ``module`` channels-last layout, in place; others keep theirs.

    A module whose weights are computed is told by its attribute ``memory_format``, if it has one.
    """

    def laid_out(tensor: Tensor) -> Tensor:
        return tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    module._apply(laid_out)  # what module.to() is made of, which refuses 5-D tensors
    if hasattr(module, "memory_format"):
        module.memory_format = torch.channels_last  # type: ignore[assignment]


class _NotDrawn(TorchFunctionMode):
    """Tensors without memory are not filled with random numbers: torch would import its compiler, for seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensor = args[0] if args else kwargs.get("tensor")  # torch.nn.init hands it over by name
        if getattr(func, "__name__", "") in _DRAWN and isinstance(tensor, Tensor) and tensor.is_meta:
            return tensor
        return func(*args, **kwargs)


@contextmanager
def without_memory() -> Iterator[None]:
    """A block in which networks are built for their names and shapes alone."""
    with torch.device("meta"), _NotDrawn():
        yield


@cache
def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, as a GPU's allocator does; where the C library is glibc.

    It returns blocks of many megabytes to the system at once, which hands them out again page by page, each of them
    cleared: 12 to 25 % of a step that needs merged weights and sums of a large network anew. From here on the process
    stays as large as it once was. Somebody's own settings in the environment are left alone.
    """
    chosen = "MALLOC_TRIM_THRESHOLD_" in os.environ or "MALLOC_MMAP_THRESHOLD_" in os.environ
    if platform.libc_ver()[0] != "glibc" or chosen or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    library = ctypes.CDLL(None)
    # The threshold from which blocks come from the system on their own; older versions take 32 MiB at most. It first:
    # setting the other one alone would leave this one at 128 KiB, and every tensor would.
    if any(library.mallopt(_M_MMAP_THRESHOLD, size) for size in (2**30, 2**25)):
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def describe() -> dict[str, Any]:
    """Processor, cores, GPU and torch version, for cards and benchmarks."""
    info = {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    info["torch"] = torch.__version__
    if torch.cuda.is_available():
        info["gpu"] = torch.cuda.get_device_name(0)
    return info


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
