"""Prepared data sets on disk: memory-mapped shards and the manifest that says what they hold.

A data set lives in ``<data root>/<name>/``: ``manifest.json`` and, per part (``train``, ``test``), shards of
consecutive items, ``train/00003-image.npy`` … A shard is written whole or not at all, and the manifest comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from palora_core.errors import UserError
from palora_core.storage.reading import read_json

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Rows:
    """Items of memory-mapped shards in any order; indexing gathers them into memory.

    Attributes:
        shards: arrays [n_s, …] whose items follow each other.
        order: index [N] of each row among all items of the shards.
    """

    shards: tuple[np.ndarray, ...]
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.order)

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, …]."""
        return (len(self), *self.shards[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Of the stored values."""
        return self.shards[0].dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        """The rows ``index`` (a slice, or integers [B]) as an array in memory [B, …]."""
        wanted = np.atleast_1d(self.order[index])
        ends = np.cumsum([len(shard) for shard in self.shards])
        owners = np.searchsorted(ends, wanted, side="right")
        result = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        for owner in np.unique(owners):
            here = owners == owner
            result[here] = self.shards[owner][wanted[here] - ends[owner] + len(self.shards[owner])]
        return result

    def take(self, index: np.ndarray) -> Rows:
        """The rows ``index`` [M] without reading them."""
        return Rows(self.shards, self.order[index])


@dataclass(frozen=True)
class Prepared:
    """An open prepared data set.

    Attributes:
        folder: where it lies.
        manifest: what ``manifest.json`` says.
    """

    folder: Path
    manifest: dict[str, Any]

    @staticmethod
    def open(data: Path, name: str) -> Prepared:
        """The data set ``name`` below the data root.

        Raises:
            UserError: not prepared, or only half; the message has the command that prepares it.
        """
        folder = Path(data) / name
        command = f"python -m palora_core prepare {name} --source DIR --data {data}"
        if not (folder / MANIFEST).is_file():
            state = "is not finished" if folder.is_dir() and any(folder.iterdir()) else "was not done"
            raise UserError(
                f"The preparation of {name} in {folder} {state}; run: {command} (--check tells where to get the data)."
            )
        manifest = read_json(folder / MANIFEST, "manifest")
        parts = manifest.get("parts") if isinstance(manifest, dict) else None
        if not isinstance(parts, dict) or manifest.get("format") != FORMAT:
            raise UserError(f"{folder / MANIFEST} is not a manifest that this program reads; run: {command}.")
        return Prepared(folder, manifest)

    def fields(self, part: str) -> dict[str, Rows]:
        """The arrays of ``part`` by name, memory-mapped.

        Raises:
            UserError: a shard that is missing, of another size, or not what the manifest says.
        """
        if part not in self.manifest["parts"]:
            raise UserError(f"{self.folder / MANIFEST} has no part {part!r}; prepare the data set again.")
        about = self.manifest["parts"][part]
        try:
            order = np.arange(about["count"])
            return {name: Rows(tuple(self._shards(about, name)), order) for name in about["fields"]}
        except (KeyError, TypeError, AttributeError):
            raise UserError(
                f"{self.folder / MANIFEST} does not say what part {part!r} holds; prepare the data set again."
            ) from None

    def _shards(self, about: dict[str, Any], field: str) -> list[np.ndarray]:
        shape, dtype = tuple(about["fields"][field]["shape"]), np.dtype(about["fields"][field]["dtype"])
        return [
            open_shard(self.folder, shard["files"][field], (shard["count"], *shape), dtype) for shard in about["shards"]
        ]


def open_shard(folder: Path, entry: dict[str, Any], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """One shard, memory-mapped and checked against what the manifest says of it."""
    path = folder / entry["file"]
    repair = f"run: python -m palora_core prepare {folder.name} --source DIR --data {folder.parent}"
    if not path.is_file():
        raise UserError(f"{path} is missing; {repair}.")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); {repair}.") from None
    if array.shape != shape or array.dtype != dtype:
        found = f"{list(array.shape)} {array.dtype}"
        raise UserError(f"{path} holds {found}, the manifest says {list(shape)} {dtype}; {repair}.")
    return array
