"""Scenes on disk: generated once by parallel processes, resumable at any moment, read back as memory-mapped arrays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from palora_core.scenes import arrays
from palora_core.scenes.generate import SceneError, check
from palora_core.scenes.manifest import CHUNK, NAME, Manifest, Parameters
from palora_core.scenes.worker import render_in_processes, render_pieces

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SceneArrays:
    """N scenes, memory-mapped and read-only.

    Attributes:
        images: uint8 [N, H, W, 3].
        labels: int8 [N, H, W]; -1 is void.
        depths: float16 [N, H, W]; metres for rooms, inverse metres for streets, 0 where missing.
        normals: int8 [N, H, W, 3], unit normals times 127; zeros where depth is missing.
    """

    images: np.ndarray
    labels: np.ndarray
    depths: np.ndarray
    normals: np.ndarray

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
    """The first ``count`` scenes of a split; those that the disk lacks are generated.

    A cache of more scenes serves fewer, one of fewer is extended, and one whose making was killed is continued: only
    chunks listed in the manifest count, and they are listed after their bytes are on the disk. Several processes may
    ask for the same scenes; one generates, the others wait.

    Args:
        kind: ``"rooms"`` or ``"streets"``.
        split: ``"train"``, ``"val"`` or ``"test"``.
        count: number of scenes N, at least 1.
        height: rows H, at least 16.
        width: columns W, at least 16.
        seed: of the data set, at least 0.
        root: scenes lie in ``root/<kind>-v<version>-<H>x<W>-s<seed>/<split>``.
        workers: processes; one per core if None, none besides this one if 1.
        progress: called with (scenes done, N).

    Raises:
        SceneError: impossible arguments, a damaged file, or a disk that can't be written.
    """
    check(kind, split, seed, 0, height, width)
    if count < 1:
        raise SceneError(f"count must be at least 1, found {count}.")
    parameters = Parameters(kind, split, int(height), int(width), int(seed))
    folder = parameters.folder(root)
    manifest = Manifest.load(folder, parameters)
    if manifest is None or manifest.missing(count):
        try:
            _generate(parameters, folder, count, workers or _cores(), progress)
        except OSError as error:
            reason = error.strerror or str(error)
            raise SceneError(f"Scenes can't be written to {folder} ({reason}); choose another folder.") from None
    opened = {field.name: arrays.open_rows(field, folder, count) for field in parameters.fields()}
    return SceneArrays(opened["images"], opened["labels"], opened["depths"], opened["normals"])


def verify(root_dir: Path) -> int:
    """Hash all scenes below a folder (a split's, a cache's or a whole root) again; gives their number.

    Raises:
        SceneError: no scenes, or a file that is not what was written; the message says which and what to do.
    """
    manifests = sorted(Path(root_dir).rglob(NAME))
    if not manifests:
        raise SceneError(f"There are no scenes below {root_dir} (no {NAME}); generate some first.")
    total = 0
    for path in manifests:
        manifest = Manifest.load(path.parent)
        total += manifest.verify(path.parent) if manifest else 0
    return total


def _generate(parameters: Parameters, folder: Path, count: int, workers: int, progress: Progress | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder, parameters, count, progress):
        manifest = Manifest.load(folder, parameters) or Manifest(parameters)
        held = max((chunk.stop for chunk in manifest.chunks), default=0)
        for field in parameters.fields():
            if held:
                arrays.open_rows(field, folder, held)  # raises if it is damaged, before it is built upon
            arrays.grow(field, folder, max(count, held))
        pieces = manifest.missing(count)
        missing = sum(stop - start for start, stop in pieces)
        workers = min(workers, len(pieces))
        if workers <= 1 or missing <= CHUNK:
            events = render_pieces(parameters, folder, pieces)
        else:
            events = render_in_processes(parameters, folder, pieces, workers)
        done = count - missing
        for chunk in events:
            if chunk is not None:
                manifest.chunks.append(chunk)
                manifest.save(folder)
                continue
            done += 1
            if progress is not None:
                progress(done, count)


@contextmanager
def _only_one(folder: Path, parameters: Parameters, count: int, progress: Progress | None) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process that holds it; report another's progress meanwhile."""
    try:
        import fcntl
    except ImportError:  # without locks two processes do the same work twice, with the same bytes
        yield
        return
    with (folder / ".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                other = Manifest.load(folder, parameters)
                if progress is not None and other is not None:
                    progress(min(other.count, count), count)
                time.sleep(0.2)
        yield


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
