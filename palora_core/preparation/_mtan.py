"""The folders of .npy files that MTAN's authors published of CityScapes and NYUv2 (Liu, Johns, Davison, CVPR 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from palora_core.errors import UserError
from palora_core.preparation._read import check_range, find, numbered, read_npy, some, whole_labels
from palora_core.preparation._shards import Part, PerItem

SPLITS = {"train": "train", "val": "test"}  # folder → part: MTAN's val folder is the test split


@dataclass(frozen=True)
class Modality:
    """One folder of a split.

    Attributes:
        field: name of the array made of it.
        folder: name of the folder.
        channels: 3 for pictures and normals, 1 for depth, 0 for labels.
        low: least value allowed.
        high: largest value allowed.
    """

    field: str
    folder: str
    channels: int
    low: float
    high: float

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Of one item as it is stored."""
        return (*size, 3) if self.channels == 3 else size

    @property
    def dtype(self) -> str:
        """As it is stored."""
        return "float32" if self.channels else "int8"

    def read(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        """One file, checked."""
        shapes = [(*size, 3)] if self.channels == 3 else [size, (*size, 1)]
        array = read_npy(path, *shapes).reshape(self.shape(size))
        if not self.channels:
            return whole_labels(array, int(self.low), int(self.high), str(path))
        check_range(array, self.low, self.high, str(path), f"{self.folder} values")
        return array.astype(np.float32)


@dataclass(frozen=True)
class MtanItem:
    """Reads one item of a split; picklable.

    Attributes:
        folder: of the split.
        modalities: what to read.
        size: rows and columns.
    """

    folder: Path
    modalities: tuple[Modality, ...]
    size: tuple[int, int]

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Arrays of item ``index``."""
        return {m.field: m.read(self.folder / m.folder / f"{index}.npy", self.size) for m in self.modalities}

    def sources(self, index: int) -> list[Path]:
        """Its files."""
        return [self.folder / m.folder / f"{index}.npy" for m in self.modalities]


def mtan_root(source: Path, folders: Sequence[str]) -> Path | None:
    """The folder that holds ``train/<one of folders>``, in ``source`` or up to two folders below."""
    for folder in folders:
        found = find(source, f"train/{folder}", folder=True)
        if found is not None:
            return found.parent.parent
    return None


def mtan_parts(root: Path, modalities: Sequence[Modality], size: tuple[int, int], per_shard: int) -> tuple[Part, ...]:
    """Parts ``train`` and ``test`` of the folders below ``root``.

    Raises:
        UserError: a missing folder, or folders of a split that do not hold the same items 0 … N - 1.
    """
    parts = []
    for folder, name in SPLITS.items():
        count = _count(root / folder, modalities)
        item = MtanItem(root / folder, tuple(modalities), size)
        fields = {m.field: (m.shape(size), m.dtype) for m in modalities}
        parts.append(Part(name, count, fields, PerItem(item), item.sources, per_shard, "mtan"))
    return tuple(parts)


def _count(split: Path, modalities: Sequence[Modality]) -> int:
    found = {}
    for modality in modalities:
        folder = split / modality.folder
        if not folder.is_dir():
            raise UserError(f"{folder} is missing: MTAN's release has it beside the other folders of {split}.")
        found[modality.folder] = set(numbered(folder))
    every = set().union(*found.values())
    if not every:
        raise UserError(f"{split} holds no files 0.npy, 1.npy, …; copy MTAN's folders again.")
    for name, items in found.items():
        missing = sorted((every | set(range(max(every) + 1))) - items)
        if missing:
            raise UserError(
                f"{split / name} has {len(items):,} files where {max(every) + 1:,} are expected: "
                f"{some((f'{i}.npy' for i in missing), 3)} missing; copy the folder again."
            )
    return len(every)
