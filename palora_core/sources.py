"""Where an objective's batches come from: one data set for all of them, or one per objective or group of objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from palora_core.batches import Batch
from palora_core.data import ArraySplit, Data, Unpack, as_split
from palora_core.errors import UserError
from palora_core.objectives import Objective


@dataclass(frozen=True)
class Source:
    """A split and the objectives that it feeds.

    Attributes:
        split: the items.
        objectives: their places in λ.
    """

    split: Data
    objectives: tuple[int, ...]


@dataclass(frozen=True)
class Portion:
    """One source's part of a training step: a forward pass of its own.

    Attributes:
        batch: inputs and targets.
        objectives: places in λ of what it feeds.
    """

    batch: Batch
    objectives: tuple[int, ...]


def whole_step(batch: Batch, objectives: int) -> list[Portion]:
    """A step with one batch that feeds all of T objectives."""
    return [Portion(batch, tuple(range(objectives)))]


def as_sources(data: Any, objectives: Sequence[Objective], unpack: Unpack | None = None) -> tuple[Source, ...]:
    """The sources in what a person gives for a split.

    Args:
        data: anything that :func:`palora_core.data.as_split` takes, feeding all objectives; or a mapping with one of
            them per objective, whose keys are names of objectives, or tuples of names (``{("depth", "normals"): real,
            ("segmentation", "depth", "normals"): synthetic}``: depth learns from both).
        objectives: in the order of λ.
        unpack: see :func:`palora_core.data.as_split`.

    Raises:
        UserError: a key that names no objective, or an objective that nothing feeds.
    """
    names = [one.name for one in objectives]
    targets = [target for one in objectives for target in _targets(one)]
    if isinstance(data, tuple) and data and all(isinstance(part, Source) for part in data):
        return data
    if not isinstance(data, Mapping) or not _per_objective(data, names):
        return (Source(as_split(data, targets, unpack), tuple(range(len(names)))),)
    found = []
    for key, value in data.items():
        fed = (key,) if isinstance(key, str) else tuple(key)
        unknown = [name for name in fed if name not in names]
        if unknown:
            raise UserError(f"Data are given for {unknown[0]!r}, which is no objective; they are {', '.join(names)}.")
        found.append(Source(as_split(value, targets, unpack), tuple(sorted(names.index(name) for name in fed))))
    unfed = [name for t, name in enumerate(names) if not any(t in source.objectives for source in found)]
    if unfed:
        raise UserError(f"No data are given for the objective {unfed[0]!r}; add them, or leave it out.")
    return tuple(found)


FED = "fed"  # a target bool [B, T] that says which objectives an item is for


def in_turn(sources: Sequence[Source], most: int = 1024) -> Data:
    """The first items of all sources in turn, where they are arrays of one form; else the first source's items.

    Where targets are a mapping, the target ``fed`` tells which objectives each item is for.

    Args:
        sources: of one split.
        most: items of each that are taken, so that arrays on disk stay there.
    """
    splits = [source.split for source in sources]
    first = splits[0]
    if len(splits) == 1 or not all(isinstance(split, ArraySplit) for split in splits):
        return first
    rows = torch.arange(min(most, *(len(split) for split in splits)))
    raw = [tree_flatten(split.raw(rows)) for split in splits]  # type: ignore[union-attr]
    forms = {(str(spec), *((t.dtype, t.shape) for t in tensors)) for tensors, spec in raw}
    if len(forms) > 1:
        return first
    mixed = [torch.stack(column, 1).flatten(0, 1).numpy() for column in zip(*(tensors for tensors, _ in raw))]
    inputs, targets = tree_unflatten(mixed, raw[0][1])
    if isinstance(targets, dict):
        objectives = sorted({place for source in sources for place in source.objectives})
        fed = np.array([[place in source.objectives for place in objectives] for source in sources])
        targets = {**targets, FED: np.tile(fed, (len(rows), 1))}
    return ArraySplit(inputs, targets, first.convert)  # type: ignore[union-attr]


def _per_objective(data: Mapping[Any, Any], names: Sequence[str]) -> bool:
    """Whether the keys name objectives and the values are data sets, not columns."""
    if any(isinstance(key, tuple) for key in data):
        return True
    columns = all(isinstance(value, np.ndarray | Tensor) for value in data.values())
    return not columns and any(key in names for key in data)


def _targets(one: Objective) -> list[str]:
    target = getattr(one, "target", None)
    return [target if isinstance(target, str) else one.name]
