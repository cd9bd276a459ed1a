"""Samples that travel with a model, as ``samples.npz``: items of its test split.

The first half are those that λ changes most, in that order (:func:`palora_core.evaluation.effects.by_item`): what a
person is to look at. No figure may be computed on these alone, so the other half are the first items of the split, as
they come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core.batches import Batch
from palora_core.data import ArraySplit, Data, arrays_in, indexable
from palora_core.errors import UserError
from palora_core.storage.examples import made
from palora_core.storage.npz import read_npz
from palora_core.storage.writing import write_atomically


@dataclass(frozen=True)
class Samples(ArraySplit):
    """Samples of a model.

    Attributes:
        chosen: how many of them, the first ones, were chosen for how much λ changes them.
    """

    chosen: int = 0

    @property
    def plain(self) -> ArraySplit | None:
        """Those that nobody chose, on which figures can be computed; None without any."""
        return self.part(slice(self.chosen, None)) if self.chosen < len(self) else None

    def digests(self, most: int = 4) -> tuple[str, ...]:
        """A hash of each of the first items that nobody chose, as they are stored; fewer where there are fewer.

        These are the first of the split in its own order, by one rule for all: two models of one problem have the same,
        whatever λ changes in them, and models that were measured on other items have others.
        """
        plain = self.plain
        return (
            () if plain is None else tuple(_digest(plain.raw(torch.tensor([i]))) for i in range(min(most, len(plain))))
        )


def _digest(item: Batch) -> str:
    arrays = [*_named("inputs", item[0]).items(), *sorted(_named("target", item[1]).items())]
    told = hashlib.sha256()
    for name, array in arrays:
        told.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return told.hexdigest()[:16]


def chosen_rows(effect: Tensor, count: int, items: int) -> tuple[Tensor, int]:
    """Which of a split's items become samples, and how many of these, the first ones, for how much λ changes them.

    Args:
        effect: per item [N] of the first of them, see :func:`palora_core.evaluation.effects.by_item`; perhaps empty.
        count: how many samples are wanted.
        items: how many items there are.
    """
    count = min(count, items)
    plain = count - count // 2
    later = effect[plain:]
    order = later.argsort(descending=True, stable=True)[: count // 2]
    order = order[later[order] > 0] + plain
    taken = set(order.tolist())
    rest = [row for row in range(min(items, count)) if row not in taken][: count - len(order)]
    return torch.cat([order, torch.tensor(rest, dtype=torch.long)]), len(order)


def save_samples(path: Path, split: Data, count: int, effect: Tensor | None = None) -> None:
    """Write ``count`` items, so that a model can be shown at work; by ``effect`` [N] where it is known.

    Of none no file is written, and one that was there goes.

    Those of our own arrays are written as they are stored (before ``convert``), others as they are collated. Nestings
    become names: ``inputs``, ``inputs:image``, ``target:depth``, ``target:[0]``. With ``effect`` two arrays more:
    ``chosen`` (bool) and ``effect``, in multiples of the mean.
    """
    if count < 1:
        Path(path).unlink(missing_ok=True)
        return
    split = indexable(split)
    known = torch.zeros(0) if effect is None else effect
    rows, chosen = chosen_rows(known, count, len(split))
    inputs, targets = split.raw(rows) if isinstance(split, ArraySplit) else split.batch(rows)
    raw: dict[str, Any] = {**_named("inputs", inputs), **_named("target", targets)}
    if chosen:
        raw |= {"chosen": np.arange(len(rows)) < chosen, "effect": known[rows].numpy().astype(np.float32)}

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


def example_of(folder: Path, card: Mapping[str, Any], convert: Callable[[Any, Any], Batch] | None) -> Any:
    """One input [1, …] of a model folder: its first sample, or without samples one of the form that its card tells.

    Raises:
        UserError: there is neither, or the samples are damaged.
    """
    path = folder / "samples.npz"
    if card.get("example") and not path.is_file():
        return made(card["example"], 1)
    return load_samples(path, convert).batch(torch.tensor([0]))[0]


def load_samples(path: Path, convert: Callable[[Any, Any], Batch] | None) -> Samples:
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
    flags = arrays.get("chosen", np.zeros(items)).reshape(items, -1)[:, 0] != 0
    return Samples(inputs, targets, convert, int(np.logical_and.accumulate(flags).sum()))
