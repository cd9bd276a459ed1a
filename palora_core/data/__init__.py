"""Data that give batches: ``splits`` and loaders, their ``conversion`` from what people have, ``passes`` over them."""

from palora_core.data.conversion import as_split
from palora_core.data.passes import count_batches, head, indexable, iterate
from palora_core.data.splits import (
    ArraySplit,
    BatchSplit,
    Data,
    DatasetSplit,
    LoaderSplit,
    Part,
    Split,
    Targets,
    Unpack,
    arrays_in,
)

__all__ = [
    "ArraySplit",
    "BatchSplit",
    "Data",
    "DatasetSplit",
    "LoaderSplit",
    "Part",
    "Split",
    "Targets",
    "Unpack",
    "arrays_in",
    "as_split",
    "count_batches",
    "head",
    "indexable",
    "iterate",
]
