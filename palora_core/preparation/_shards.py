"""Shards: some items of a part as arrays on disk, each shard whole or not there at all."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from palora_core.errors import UserError
from palora_core.storage.writing import sha256, write_atomically, write_json

VERSION = 1  # part of every shard's fingerprint: raise it when the same source gives other arrays


@dataclass(frozen=True)
class Part:
    """N items that become shards.

    Attributes:
        name: ``train``, ``test``, … (a folder).
        count: N.
        fields: array name → (shape of one item, dtype).
        read: (first, last) → arrays [last - first, …] of these items; runs in other processes, so it is picklable.
        sources: the files that item i is made of.
        per_shard: items per shard.
        key: whatever else the arrays depend on (options, kind of release).
    """

    name: str
    count: int
    fields: Mapping[str, tuple[tuple[int, ...], str]]
    read: Callable[[int, int], dict[str, np.ndarray]]
    sources: Callable[[int], Sequence[Path]]
    per_shard: int = 64
    key: str = ""

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.count // self.per_shard)

    def size(self, shard: int) -> int:
        """Items of a shard."""
        first, last = self.span(shard)
        return last - first

    def span(self, shard: int) -> tuple[int, int]:
        """First item of a shard and the one after its last."""
        return shard * self.per_shard, min(self.count, (shard + 1) * self.per_shard)

    @property
    def item_bytes(self) -> int:
        """Size of one item."""
        return sum(
            int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize for shape, dtype in self.fields.values()
        )

    def fingerprint(self, shard: int) -> str:
        """Changes when what the shard is made of, or how it is stored, changes."""
        digest = hashlib.sha256(json.dumps([VERSION, self.key, self.span(shard), dict(self.fields)]).encode())
        for item in range(*self.span(shard)):
            for path in self.sources(item):
                status = path.stat()
                digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class PerItem:
    """A ``read`` made of a picklable function of one item; the problems of all its items are told together."""

    item: Callable[[int], dict[str, np.ndarray]]

    def __call__(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Items first … last - 1, stacked."""
        rows, problems = [], []
        for index in range(first, last):
            try:
                rows.append(self.item(index))
            except UserError as error:
                problems.append(str(error))
        if problems:
            raise BadItems(problems)
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class BadItems(Exception):
    """Items that cannot be prepared; the argument is a list of sentences."""


def make_shard(folder: Path, part: Part, shard: int, fingerprint: str) -> dict[str, Any] | list[str]:
    """Read, check and write one shard; its record, or what is wrong with its items."""
    first, last = part.span(shard)
    try:
        arrays = part.read(first, last)
    except BadItems as error:
        return error.args[0]
    except UserError as error:
        return [str(error)]
    files: dict[str, Any] = {}
    for name, (shape, dtype) in part.fields.items():
        array = arrays[name]
        if array.shape != (last - first, *shape) or array.dtype != np.dtype(dtype):
            raise AssertionError(f"{name}: {array.shape} {array.dtype}, planned {shape} {dtype}")
        path = folder / part.name / f"{shard:05d}-{name}.npy"
        write_atomically(path, functools.partial(_save, array=array))
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        files[name] = {"file": f"{part.name}/{path.name}", "bytes": path.stat().st_size, "sha256": sha256(path)}
        files[name] |= {"min": low, "max": high}
    record = {"first": first, "count": last - first, "fingerprint": fingerprint, "files": files}
    write_json(folder / part.name / f"{shard:05d}.json", record)
    return record


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
