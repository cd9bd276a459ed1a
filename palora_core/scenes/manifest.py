"""What a cache holds: its parameters, and a hash of every chunk of scenes that is completely on the disk."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from palora_core.errors import UserError
from palora_core.scenes.arrays import Field, fields, open_rows
from palora_core.scenes.catalog import GENERATOR_VERSION
from palora_core.scenes.generate import SceneError
from palora_core.storage.reading import read_json
from palora_core.storage.writing import write_json

NAME = "manifest.json"
CHUNK = 16


@dataclass(frozen=True)
class Parameters:
    """What the bytes of a split depend on."""

    kind: str
    split: str
    height: int
    width: int
    seed: int
    generator_version: int = GENERATOR_VERSION

    def folder(self, root: Path) -> Path:
        """Where the split lies below a root."""
        size = f"{self.height}x{self.width}"
        return Path(root) / f"{self.kind}-v{self.generator_version}-{size}-s{self.seed}" / self.split

    def fields(self) -> tuple[Field, ...]:
        """The split's arrays."""
        return fields(self.height, self.width)


@dataclass
class Chunk:
    """Scenes ``start`` to ``stop`` (exclusive) and the SHA-256 of their rows by array name."""

    start: int
    stop: int
    sha256: dict[str, str]


@dataclass
class Manifest:
    """Parameters and finished chunks of a split; written anew, in one step, whenever a chunk is finished."""

    parameters: Parameters
    chunks: list[Chunk] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path, expected: Parameters | None = None) -> Manifest | None:
        """The manifest of a folder, None if there is none.

        Raises:
            SceneError: unreadable, or of other parameters than ``expected``.
        """
        path = folder / NAME
        if not path.is_file():
            return None
        again = f"delete the folder {folder} and generate the scenes again"
        try:
            data = read_json(path, "manifest of scenes")
            parameters = Parameters(**data["parameters"])
            chunks = [Chunk(**chunk) for chunk in data["chunks"]]
        except (UserError, KeyError, TypeError):
            raise SceneError(f"{path} is damaged; {again}.") from None
        if expected is not None and parameters != expected:
            raise SceneError(f"{path} describes other scenes ({asdict(parameters)}); {again}.")
        return cls(parameters, chunks)

    def save(self, folder: Path) -> None:
        """Replace the manifest on the disk."""
        self.chunks.sort(key=lambda chunk: chunk.start)
        data: dict[str, Any] = {
            "what": "Synthetic scenes of palora_core.scenes; a chunk is listed once all its rows are on the disk.",
            "count": self.count,
            "parameters": asdict(self.parameters),
            "numpy": np.__version__,
            "chunks": [asdict(chunk) for chunk in self.chunks],
        }
        write_json(folder / NAME, data)

    @property
    def count(self) -> int:
        """Scenes from the first on without a gap."""
        reached = 0
        for chunk in sorted(self.chunks, key=lambda chunk: chunk.start):
            if chunk.start > reached:
                break
            reached = max(reached, chunk.stop)
        return reached

    def missing(self, count: int) -> list[tuple[int, int]]:
        """Ranges of at most CHUNK scenes that a cache of ``count`` scenes lacks."""
        done = np.zeros(count, bool)
        for chunk in self.chunks:
            done[chunk.start : chunk.stop] = True
        pieces: list[tuple[int, int]] = []
        for index in np.flatnonzero(~done).tolist():
            if pieces and pieces[-1][1] == index and index % CHUNK:
                pieces[-1] = (pieces[-1][0], index + 1)
            else:
                pieces.append((index, index + 1))
        return pieces

    def verify(self, folder: Path) -> int:
        """Hash every chunk again; gives the number of scenes.

        Raises:
            SceneError: names the first file that is not what was written.
        """
        rows = max((chunk.stop for chunk in self.chunks), default=0)
        for part in self.parameters.fields():
            array = open_rows(part, folder, rows)
            for chunk in self.chunks:
                if digest(array[chunk.start : chunk.stop]) != chunk.sha256.get(part.name):
                    where = f"{part.path(folder)} is damaged in scenes {chunk.start} to {chunk.stop - 1}"
                    raise SceneError(f"{where}; delete the folder {folder} and generate the scenes again.")
        return self.count


def digest(rows: np.ndarray) -> str:
    """SHA-256 of an array's bytes."""
    return hashlib.sha256(rows.tobytes()).hexdigest()
