"""Data as people have it: arrays, data frames, data sets, loaders; each becomes a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from palora_core import batches
from palora_core.data.splits import ArraySplit, Data, DatasetSplit, LoaderSplit, Part, Split, Unpack, arrays_in
from palora_core.errors import UserError


def as_split(data: Any, targets: Sequence[str] = (), unpack: Unpack | None = None) -> Data:
    """The split in whatever a person gives.

    Args:
        data: a split; a ``DataLoader`` or another iterable of batches; a data set with ``len`` and items; a pair
            (inputs, targets) of arrays, or of nestings of them; a mapping or data frame with columns.
        targets: names of the columns that are targets, for the latter; all others are inputs.
        unpack: batch as collated → (inputs, targets), where that is not a pair already.

    Raises:
        UserError: none of these, or arrays of unequal length.
    """
    unpack = unpack or batches.as_batch
    if isinstance(data, ArraySplit | DatasetSplit | LoaderSplit | Part):
        return data
    if isinstance(data, DataLoader):
        return LoaderSplit(data, unpack)
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        return _frame_split(data, targets)
    if isinstance(data, Mapping) and data and all(map(_is_array, data.values())):
        return _columns_split(data, targets)
    if isinstance(data, tuple) and len(data) == 2 and all(arrays_in(part) for part in data):
        return _checked(ArraySplit(data[0], data[1]))
    if isinstance(data, Split) and not hasattr(data, "column_names"):  # a ``datasets.Dataset`` has another batch()
        return data
    indexed = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if indexed and not isinstance(data, Mapping | IterableDataset | str | bytes):
        return DatasetSplit(data, unpack=unpack)
    if hasattr(data, "__iter__") and not isinstance(data, Mapping | str | bytes):
        if isinstance(data, Iterator):
            raise UserError("The data are an iterator, which ends after one pass; give a DataLoader or a list.")
        return LoaderSplit(data, unpack)
    read = "read the file first: " if isinstance(data, str | bytes | PathLike) else ""
    raise UserError(
        f"Data are a {type(data).__name__}; {read}expected a Dataset, a DataLoader, a pair (inputs, targets) of "
        "arrays, a data frame, or a split with batch(indices)."
    )


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | Tensor) and len(value.shape) > 0


def _checked(split: ArraySplit) -> ArraySplit:
    lengths = sorted({len(array) for array in arrays_in((split.inputs, split.targets))})
    if len(lengths) > 1:
        raise UserError(f"Arrays of one split have unequal lengths ({lengths[0]} and {lengths[-1]} items).")
    return split


def _columns_split(data: Mapping[str, Any], targets: Sequence[str]) -> ArraySplit:
    known = [name for name in targets if name in data]
    if not known:
        found = ", ".join(map(str, list(data)[:8]))
        raise UserError(f"None of the columns {found} is a target ({', '.join(targets)}).")
    inputs = {name: array for name, array in data.items() if name not in known}
    return _checked(ArraySplit(inputs, {name: data[name] for name in known}))


def _frame_split(frame: Any, targets: Sequence[str]) -> ArraySplit:
    """Columns named as targets are targets; all others, which must be numbers, are one input [N, columns]."""
    known = [name for name in targets if name in frame.columns]
    if not known:
        raise UserError(f"No column of the data frame is called {' or '.join(targets)}; rename those that are targets.")
    columns = [name for name in frame.columns if name not in known]
    texts = [name for name in columns if frame[name].to_numpy().dtype.kind not in "fiub"]
    if texts:
        raise UserError(f"The column {texts[0]!r} holds no numbers; encode it (pandas.get_dummies), or drop it.")
    inputs = np.ascontiguousarray(frame[columns].to_numpy(dtype=np.float32))
    return ArraySplit(inputs, {name: np.ascontiguousarray(frame[name].to_numpy()) for name in known})
