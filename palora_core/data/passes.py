"""One pass over a split in its order, and its first items."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from palora_core import batches
from palora_core.batches import Batch
from palora_core.data.splits import BatchSplit, Data, LoaderSplit, Split
from palora_core.errors import UserError


def iterate(split: Data, size: int) -> Iterator[Batch]:
    """All batches of a split in its order: ``size`` items each, or as a loader makes them.

    Raises:
        UserError: there is none.
    """
    if isinstance(split, LoaderSplit):
        yield from split
        return
    if len(split) == 0:
        raise UserError("The split is empty; expected at least one item. Prepare the data set first.")
    for start in range(0, len(split), size):
        yield split.batch(torch.arange(start, min(start + size, len(split))))


def count_batches(split: Data, size: int) -> int:
    """How many batches :func:`iterate` gives."""
    return split.steps if isinstance(split, LoaderSplit) else -(-len(split) // size)


def head(split: Data, count: int) -> Batch:
    """The first ``count`` items (fewer where there are fewer) as one batch; of a loader, of its first batch."""
    if isinstance(split, LoaderSplit):
        return batches.rows(next(iter(split)), slice(count))
    return split.batch(torch.arange(min(count, len(split))))


def indexable(split: Data) -> Split:
    """The split itself, or the first batch of a loader, whose items have no numbers."""
    return BatchSplit(next(iter(split))) if isinstance(split, LoaderSplit) else split
