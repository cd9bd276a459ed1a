"""Splits: data that can be asked for any batch by index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.files import write_atomically
from palora_core.npz import read_npz

Targets = dict[str, Tensor]
Batch = tuple[Tensor, Targets]


class Split(Protocol):
    """Some items of a benchmark."""

    def __len__(self) -> int:
        """Number of items."""
        ...

    def batch(self, indices: Tensor) -> Batch:
        """Inputs [B, …] and targets by task name for the items ``indices`` [B]."""
        ...


@dataclass(frozen=True)
class ArraySplit:
    """A split over arrays (in memory or memory-mapped) with N items each.

    Attributes:
        inputs: array [N, …].
        targets: task name → array [N, …].
        convert: raw (inputs, targets) of a batch as tensors → what networks and losses read; identity if None.
    """

    inputs: Any
    targets: Mapping[str, Any]
    convert: Callable[[Tensor, Targets], Batch] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: Tensor) -> Batch:
        """Gather, then convert."""
        x = _gather(self.inputs, indices)
        targets = {name: _gather(array, indices) for name, array in self.targets.items()}
        return self.convert(x, targets) if self.convert else (x, targets)

    def head(self, count: int) -> ArraySplit:
        """The first ``count`` items."""
        return ArraySplit(self.inputs[:count], {n: a[:count] for n, a in self.targets.items()}, self.convert)


def _gather(array: Any, indices: Tensor) -> Tensor:
    if isinstance(array, Tensor):
        return array[indices]
    return torch.from_numpy(np.ascontiguousarray(array[indices.numpy()]))


def save_samples(path: Path, split: ArraySplit, count: int) -> None:
    """Write the first ``count`` items as they are stored (before ``convert``), so that a model can be shown at work."""
    raw: dict[str, Any] = {"inputs": _raw(split.inputs, count)}
    raw |= {f"target:{name}": _raw(target, count) for name, target in split.targets.items()}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **raw)

    write_atomically(Path(path), write)


def load_samples(path: Path, convert: Callable[[Tensor, Targets], Batch] | None) -> ArraySplit:
    """Read what :func:`save_samples` wrote.

    Raises:
        UserError: missing, damaged, or arrays of different lengths.
    """
    arrays = read_npz(path, "samples")
    if "inputs" not in arrays:
        raise UserError(f"The samples {path} are damaged (they have no inputs); copy the model folder again.")
    inputs = arrays.pop("inputs")
    targets = {name.partition(":")[2]: array for name, array in arrays.items()}
    for name, array in {"inputs": inputs, **targets}.items():
        if not array.ndim or len(array) != len(inputs) or not array.size:
            found = list(array.shape)
            raise UserError(f"The samples {path} are damaged ({name[:60]} has the shape {found}); copy them again.")
    if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
        raise UserError(f"The samples {path} are damaged (inputs hold NaN or infinity); copy the model folder again.")
    return ArraySplit(inputs, targets, convert)


def _raw(array: Any, count: int) -> np.ndarray:
    part = array[:count]
    return part.numpy() if isinstance(part, Tensor) else np.ascontiguousarray(part)
