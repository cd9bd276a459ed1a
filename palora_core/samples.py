"""Samples that travel with a model: the first items of its test split, as ``samples.npz``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core.batches import Batch
from palora_core.data import ArraySplit, Data, arrays_in, head
from palora_core.errors import UserError
from palora_core.files import write_atomically
from palora_core.npz import read_npz


def save_samples(path: Path, split: Data, count: int) -> None:
    """Write the first ``count`` items, so that a model can be shown at work.

    Those of our own arrays are written as they are stored (before ``convert``), others as they are collated. Nestings
    become names: ``inputs``, ``inputs:image``, ``target:depth``, ``target:[0]``.
    """
    count = min(count, len(split))
    inputs, targets = split.raw(torch.arange(count)) if isinstance(split, ArraySplit) else head(split, count)
    raw: dict[str, Any] = {**_named("inputs", inputs), **_named("target", targets)}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **raw)

    write_atomically(Path(path), write)


def _named(name: str, tree: Any) -> dict[str, np.ndarray]:
    """Arrays of a nesting by the names of their places."""
    if isinstance(tree, Tensor):
        return {name: tree.detach().cpu().numpy()}
    if isinstance(tree, np.ndarray):
        return {name: tree}
    if isinstance(tree, Mapping):
        parts = {str(key): value for key, value in tree.items()}
    elif isinstance(tree, list | tuple):
        parts = {f"[{place}]": value for place, value in enumerate(tree)}
    else:
        return {}  # numbers and texts between the tensors are the same for every batch
    start = name if ":" in name else f"{name}:"
    joint = "/" if ":" in name else ""
    return {
        key: array for place, value in parts.items() for key, array in _named(f"{start}{joint}{place}", value).items()
    }


def _nested(arrays: Mapping[str, np.ndarray], name: str) -> Any:
    """What :func:`_named` took apart; an empty dict where there is nothing."""
    if name in arrays:
        return arrays[name]
    found: dict[str, Any] = {}
    for key, array in arrays.items():
        root, _, path = key.partition(":")
        if root == name and path:
            *above, last = path.split("/")
            place = found
            for part in above:
                place = place.setdefault(part, {})
            place[last] = array
    return _lists(found)


def _lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    parts = {key: _lists(value) for key, value in tree.items()}
    if parts and all(key == f"[{place}]" for place, key in enumerate(parts)):
        return tuple(parts.values())
    return parts


def load_samples(path: Path, convert: Callable[[Any, Any], Batch] | None) -> ArraySplit:
    """Read what :func:`save_samples` wrote.

    Raises:
        UserError: missing, damaged, or arrays of different lengths.
    """
    arrays = read_npz(path, "samples")
    inputs, targets = (_nested(arrays, name) for name in ("inputs", "target"))
    if not arrays_in(inputs):
        raise UserError(f"The samples {path} are damaged (they have no inputs); copy the model folder again.")
    items = next((len(array) for array in arrays_in(inputs) if array.ndim), 0)
    for name, array in arrays.items():
        if not array.ndim or len(array) != items or not array.size:
            found = list(array.shape)
            raise UserError(f"The samples {path} are damaged ({name[:60]} has the shape {found}); copy them again.")
    if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in arrays_in(inputs)):
        raise UserError(f"The samples {path} are damaged (inputs hold NaN or infinity); copy the model folder again.")
    return ArraySplit(inputs, targets, convert)
