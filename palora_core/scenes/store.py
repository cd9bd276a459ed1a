"""Scenes on disk: chunks written by parallel processes, hashed in a manifest, read back as memory-mapped arrays."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from palora_core.errors import UserError
from palora_core.files import write_atomically, write_json
from palora_core.scenes.generate import GENERATOR_VERSION, render

CHUNK = 32
# Unit normals as int8 are off by at most 0.3°, depth as float16 by 0.05 %: below what the tasks can tell.
FIELDS = {"image": np.uint8, "label": np.int8, "depth": np.float16, "normal": np.int8}
Progress = Callable[[int, int], None]


class SceneError(UserError):
    """A scene cache that can't be used; the message says which file and what to do."""


@dataclass(frozen=True)
class SceneArrays:
    """N scenes: images uint8 [N, H, W, 3], labels int8 [N, H, W], depths float16 [N, H, W], normals int8 ×127 or None."""

    images: np.ndarray
    labels: np.ndarray
    depths: np.ndarray
    normals: np.ndarray | None

    def __len__(self) -> int:
        return len(self.images)


def ensure(
    kind: str,
    split: str,
    count: int,
    height: int,
    width: int,
    seed: int,
    root: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SceneArrays:
    """The first ``count`` scenes of a split; missing chunks are generated in parallel processes.

    A chunk appears by one rename, so whatever is there is whole; a killed generation continues with the chunks that are
    missing, and a cache of more scenes serves fewer.

    Args:
        kind: ``"rooms"`` or ``"streets"``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        count: number of scenes N.
        height: rows.
        width: columns.
        seed: of the data set.
        root: data root; scenes live in ``root/<kind>-v<version>-<H>x<W>-s<seed>/<split>``.
        workers: processes; all cores by default, 1 for none besides this one.
        progress: called with (scenes done, N).

    Raises:
        SceneError: a damaged chunk, or a disk that can't be written.
    """
    if count < 1:
        raise UserError(f"At least one scene is needed, found a count of {count}.")
    folder = Path(root) / f"{kind}-v{GENERATOR_VERSION}-{height}x{width}-s{seed}" / split
    chunks = range(-(-count // CHUNK))
    missing = [chunk for chunk in chunks if not _path(folder, chunk).exists()]
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _generate(kind, split, height, width, seed, folder, missing, workers, progress, count)
            _write_manifest(folder, kind, split, height, width, seed)
        except OSError as error:
            raise SceneError(
                f"Scenes can't be written to {folder} ({error.strerror}); choose another --data."
            ) from None
    parts = [_open(_path(folder, chunk), height, width) for chunk in chunks]
    return _joined(folder, parts, count)


def verify(folder: Path) -> int:
    """Hash every chunk of a split's folder again; returns how many there are.

    Raises:
        SceneError: no manifest, or a chunk that is missing or differs from it.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise SceneError(f"{folder} holds no manifest.json; generate the scenes first.")
    hashes = json.loads(manifest.read_text())["chunks"]
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise SceneError(f"{path} is missing or damaged; delete it and generate the scenes again.")
    return len(hashes)


def _generate(
    kind: str,
    split: str,
    height: int,
    width: int,
    seed: int,
    folder: Path,
    missing: list[int],
    workers: int | None,
    progress: Progress | None,
    count: int,
) -> None:
    jobs = [(kind, split, height, width, seed, str(folder), chunk) for chunk in missing]
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    done = -(-count // CHUNK) - len(missing)
    for _ in map(_write_chunk, jobs) if workers == 1 else _in_processes(jobs, workers):
        done += 1
        if progress:
            progress(min(done * CHUNK, count), count)


def _in_processes(jobs: list[tuple], workers: int) -> Iterator[None]:
    # Spawned, not forked: the caller may hold torch's threads, which do not survive a fork.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_write_chunk, jobs)


def _write_chunk(job: tuple[str, str, int, int, int, str, int]) -> None:
    kind, split, height, width, seed, folder, chunk = job
    indices = range(chunk * CHUNK, (chunk + 1) * CHUNK)
    scenes = [_packed(render(kind, seed, index, height, width, split)) for index in indices]
    record = np.zeros(CHUNK, _record(height, width, "normal" in scenes[0]))
    for row, scene in enumerate(scenes):
        for name, value in scene.items():
            record[row][name] = value

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, record)

    write_atomically(_path(Path(folder), chunk), write)


def _record(height: int, width: int, normals: bool) -> np.dtype:
    shapes = {
        "image": (height, width, 3),
        "label": (height, width),
        "depth": (height, width),
        "normal": (height, width, 3),
    }
    names = [name for name in FIELDS if normals or name != "normal"]
    return np.dtype([(name, FIELDS[name], shapes[name]) for name in names])


def _packed(scene: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    packed = {name: scene[name].astype(FIELDS[name]) for name in ("image", "label", "depth")}
    if "normal" in scene:
        packed["normal"] = np.rint(scene["normal"] * 127).astype(np.int8)
    return packed


def _path(folder: Path, chunk: int) -> Path:
    return folder / f"{chunk:05d}.npy"


def _open(path: Path, height: int, width: int) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise SceneError(f"{path} is truncated or damaged; delete it and run the command again.") from None
    if array.shape != (CHUNK,) or array.dtype not in (_record(height, width, True), _record(height, width, False)):
        raise SceneError(f"{path} does not hold {CHUNK} scenes of {height} × {width}; delete it and run again.")
    return array


def _joined(folder: Path, parts: list[np.ndarray], count: int) -> SceneArrays:
    """The chunks side by side in memory; at the benchmark's sizes a split is below 200 MB."""
    names = parts[0].dtype.names or ()
    fields = {name: np.concatenate([part[name] for part in parts])[:count] for name in names}
    return SceneArrays(fields["image"], fields["label"], fields["depth"], fields.get("normal"))


def _write_manifest(folder: Path, kind: str, split: str, height: int, width: int, seed: int) -> None:
    chunks = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.npy"))}
    manifest = {"generator": GENERATOR_VERSION, "kind": kind, "split": split, "height": height, "width": width}
    write_json(folder / "manifest.json", {**manifest, "seed": seed, "scenes": len(chunks) * CHUNK, "chunks": chunks})
