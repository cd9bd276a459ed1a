"""Splits: items that can be asked for by index, or a loader that is followed as it comes.

A split of ours can be asked for any items, so an epoch's order is a function of the seed and a resume repeats it to the
bit. A ``DataLoader`` owns its order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from palora_core import batches
from palora_core.batches import Batch
from palora_core.errors import UserError, one_line

Targets = dict[str, Tensor]
Unpack = Callable[[Any], Batch]


@runtime_checkable
class Split(Protocol):
    """Some items that can be asked for by index."""

    def __len__(self) -> int:
        """Number of items."""
        ...

    def batch(self, indices: Tensor) -> Batch:
        """Inputs and targets for the items ``indices`` [B]."""
        ...


@dataclass(frozen=True)
class ArraySplit:
    """A split over arrays (in memory or memory-mapped) with N items each.

    Attributes:
        inputs: array [N, …], or any nesting of them.
        targets: likewise; name → array [N, …] for tasks that are told apart by name.
        convert: raw (inputs, targets) of a batch as tensors → what networks and losses read; identity if None.
    """

    inputs: Any
    targets: Any
    convert: Callable[[Any, Any], Batch] | None = None

    def __len__(self) -> int:
        return len(arrays_in(self.inputs)[0])

    def batch(self, indices: Tensor) -> Batch:
        """Gather, then convert."""
        x, targets = self.raw(indices)
        return self.convert(x, targets) if self.convert else (x, targets)

    def raw(self, indices: Tensor) -> Batch:
        """The items as they are stored, before ``convert``."""
        return _each(self.inputs, lambda a: _gather(a, indices)), _each(self.targets, lambda a: _gather(a, indices))

    def head(self, count: int) -> ArraySplit:
        """The first ``count`` items."""
        return self.part(slice(count))

    def part(self, rows: slice) -> ArraySplit:
        """The items ``rows``, without copying where the arrays are sliced without copying."""
        return ArraySplit(_each(self.inputs, lambda a: a[rows]), _each(self.targets, lambda a: a[rows]), self.convert)


def collate(items: list[Any]) -> Any:
    """torch's ``default_collate``, for which a list of numbers in an item (token ids of ``datasets``) is an array.

    As it stands, torch would make a list of as many columns of it.
    """
    return default_collate([_with_arrays(item) for item in items])


def _with_arrays(item: Any, inside: bool = False) -> Any:
    if isinstance(item, Mapping):
        return {key: _with_arrays(value, True) for key, value in item.items()}
    if isinstance(item, tuple) and not hasattr(item, "_fields"):
        return tuple(_with_arrays(part, True) for part in item)
    if inside and isinstance(item, list) and item and isinstance(item[0], int | float | list):
        try:
            return torch.tensor(item)
        except (TypeError, ValueError):  # of other things, or of unequal lengths
            return item
    return item


@dataclass(frozen=True)
class DatasetSplit:
    """A map-style data set (``torch.utils.data.Dataset``, Hugging Face's ``datasets.Dataset``), collated by us.

    Attributes:
        dataset: has ``len`` and items by number.
        collate: list of items → batch.
        unpack: batch → (inputs, targets).
    """

    dataset: Any
    collate: Callable[[list[Any]], Any] = collate
    unpack: Unpack = batches.as_batch

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: Tensor) -> Batch:
        """Fetch and collate.

        Raises:
            UserError: items that do not fit together.
        """
        items = [self._item(index) for index in indices.tolist()]
        try:
            return self.unpack(self.collate(items))
        except UserError:
            raise
        except (TypeError, RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"Items of the data set do not collate into a batch ({error}); give a DataLoader with a collate_fn of "
                "yours, or make the items alike."
            ) from error

    def _item(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            kind = type(self.dataset).__name__
            raise UserError(f"Item {index} of the data set ({kind}) failed ({one_line(error)}).") from error


@dataclass(frozen=True)
class Part:
    """Some items of another split.

    Attributes:
        whole: the other split.
        indices: its items [N] that are in this one.
    """

    whole: Split
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Tensor) -> Batch:
        """Those of the whole."""
        return self.whole.batch(self.indices[indices])


@dataclass(frozen=True)
class BatchSplit:
    """The items of one batch that is already there.

    Attributes:
        whole: the batch.
    """

    whole: Batch

    def __len__(self) -> int:
        return batches.count(self.whole)

    def batch(self, indices: Tensor) -> Batch:
        """Those of the batch."""
        found: Batch = batches.rows(self.whole, indices)
        return found


@dataclass(frozen=True)
class LoaderSplit:
    """Whatever yields batches: a ``DataLoader`` with its own sampler, workers and collate function, or any iterable.

    Attributes:
        loader: yields batches, from the beginning each time it is iterated.
        unpack: batch → (inputs, targets).
    """

    loader: Any
    unpack: Unpack = batches.as_batch

    def __len__(self) -> int:
        """Number of items; of batches where only those are known."""
        dataset = getattr(self.loader, "dataset", None)
        return len(dataset) if isinstance(dataset, Sized) else self.steps

    @property
    def steps(self) -> int:
        """Batches in one pass.

        Raises:
            UserError: the loader does not tell.
        """
        try:
            return len(self.loader)
        except TypeError:
            raise UserError(
                f"The {type(self.loader).__name__} does not tell how many batches it yields, which a schedule needs; "
                "give it a __len__, or use a map-style data set."
            ) from None

    def __iter__(self) -> Iterator[Batch]:
        empty, batches_of = True, iter(self.loader)
        while True:
            try:
                found = next(batches_of)
            except StopIteration:
                break
            except Exception as error:
                raise UserError(f"The {type(self.loader).__name__} failed ({one_line(error, last=True)}).") from error
            empty = False
            yield self.unpack(found)
        if empty:
            raise UserError(f"The {type(self.loader).__name__} yields no batch; expected at least one.")


Data = ArraySplit | DatasetSplit | LoaderSplit | Part | Split


def arrays_in(tree: Any) -> list[Any]:
    """The arrays in a nesting; some of ours read a file when they are indexed."""
    if hasattr(tree, "__len__") and hasattr(tree, "__getitem__") and not isinstance(tree, Mapping | list | tuple | str):
        return [tree]
    parts = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
    return [array for part in parts for array in arrays_in(part)]


def _each(tree: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _each(value, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_each(value, function) for value in tree)
    return function(tree)


def _gather(array: Any, indices: Tensor) -> Any:
    if isinstance(array, Tensor):
        return array[indices]
    chosen = np.ascontiguousarray(array[indices.numpy()])
    return chosen if chosen.dtype.kind in "US" else torch.from_numpy(chosen)
