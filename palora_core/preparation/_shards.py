"""Writing shards: in parallel, each whole or not at all, kept across runs, the manifest last."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np

from palora_core.errors import UserError
from palora_core.files import is_temporary, read_json, sha256, write_atomically, write_json
from palora_core.prepared import FORMAT, MANIFEST

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None  # type: ignore[assignment]

Progress = Callable[[str, int, int], None]
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


def write_parts(
    folder: Path, parts: Sequence[Part], about: dict[str, Any], progress: Progress | None = None, workers: int = 0
) -> int:
    """Write all shards that are not there yet, then the manifest.

    Returns:
        The number of shards written; 0 where everything was there.

    Raises:
        UserError: items that cannot be read (all other shards are kept), no space, another process at work here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        prints = [[part.fingerprint(shard) for shard in range(part.shards)] for part in parts]
        known = _known(folder)
        done = [
            [known.get((part.name, shard, prints[p][shard])) for shard in range(part.shards)]
            for p, part in enumerate(parts)
        ]
        todo = [(p, s) for p, part in enumerate(parts) for s in range(part.shards) if done[p][s] is None]
        manifest = _manifest(parts, about, done) if not todo else None
        if manifest is not None and _same(folder, manifest):
            return 0
        _withdraw(folder, parts, done)
        _check_space(folder, parts, todo)
        _write_shards(folder, parts, prints, done, todo, progress, workers)
        write_json(folder / MANIFEST, _manifest(parts, about, done))
        _clear(folder, parts)
        return len(todo)


def _write_shards(
    folder: Path,
    parts: Sequence[Part],
    prints: list[list[str]],
    done: list[list[Any]],
    todo: list[tuple[int, int]],
    progress: Progress | None,
    workers: int,
) -> None:
    total = sum(part.count for part in parts)
    finished = total - sum(_size(parts[p], s) for p, s in todo)
    problems: list[str] = []
    for (p, s), record in _results(folder, parts, prints, todo, workers):
        if isinstance(record, list):
            problems += record
        else:
            done[p][s] = record
        finished += _size(parts[p], s)
        if progress:
            progress("preparing", finished, total)
    if problems:
        more = f" ({len(problems) - 1} more: {' '.join(problems[1:4])})" if len(problems) > 1 else ""
        raise UserError(f"{problems[0]}{more} Everything else is kept: put this right and run the command again.")


def _results(
    folder: Path, parts: Sequence[Part], prints: list[list[str]], todo: list[tuple[int, int]], workers: int
) -> Iterator[tuple[tuple[int, int], Any]]:
    """((part, shard), its record or its problems) as they are finished."""
    workers = min(workers or os.cpu_count() or 1, len(todo))
    if workers <= 1 or len(todo) <= 2:
        for p, s in todo:
            yield (p, s), make_shard(folder, parts[p], s, prints[p][s])
        return
    # A fresh interpreter per worker: a fork of a process that has used torch's threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (folder, list(parts))) as pool:
        try:
            with _unimportable_main():
                waiting = {pool.submit(_work, p, s, prints[p][s]): (p, s) for p, s in todo}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _unimportable_main() -> Iterator[None]:
    """Keep spawned workers from running the caller's main script again: they need nothing of it.

    It may be an unguarded script, standard input, or a file that is gone, and each of them would end the workers.
    """
    main = sys.modules["__main__"]
    kept = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(kept)


_job: tuple[Path, list[Part]]


def _start_worker(folder: Path, parts: list[Part]) -> None:
    global _job
    _job = folder, parts
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends its workers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: Any) -> None:
    """End this process when its parent is gone: a killed one would leave it waiting for work for ever."""
    wait([sentinel])
    os._exit(1)


def _work(part: int, shard: int, fingerprint: str) -> dict[str, Any] | list[str]:
    folder, parts = _job
    return make_shard(folder, parts[part], shard, fingerprint)


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


def _size(part: Part, shard: int) -> int:
    first, last = part.span(shard)
    return last - first


def _known(folder: Path) -> dict[tuple[str, int, str], dict[str, Any]]:
    """Records of whole shards, by (part, shard, fingerprint): from the manifest and from an unfinished run."""
    records: list[tuple[str, int, Any]] = []
    try:
        parts = read_json(folder / MANIFEST, "manifest")["parts"]
        records += [(name, s, record) for name, part in parts.items() for s, record in enumerate(part["shards"])]
    except (UserError, KeyError, TypeError):
        pass
    for path in folder.glob("*/*.json"):
        if path.stem.isdigit():
            records.append((path.parent.name, int(path.stem), read_json(path, "record")))
    return {(name, s, r["fingerprint"]): r for name, s, r in records if _whole(folder, r)}


def _whole(folder: Path, record: Any) -> bool:
    try:
        files = record["files"].values()
        return all((folder / e["file"]).stat().st_size == e["bytes"] for e in files) and bool(record["fingerprint"])
    except (OSError, KeyError, TypeError, AttributeError):
        return False


def _manifest(parts: Sequence[Part], about: dict[str, Any], done: list[list[Any]]) -> dict[str, Any]:
    described = {}
    for part, shards in zip(parts, done):
        fields = {}
        for name, (shape, dtype) in part.fields.items():
            entries = [shard["files"][name] for shard in shards]
            fields[name] = {"shape": list(shape), "dtype": dtype}
            fields[name] |= {"min": min(e["min"] for e in entries), "max": max(e["max"] for e in entries)}
        described[part.name] = {"count": part.count, "fields": fields, "shards": shards}
    return {"format": FORMAT, **about, "parts": described}


def _same(folder: Path, manifest: dict[str, Any]) -> bool:
    try:
        return read_json(folder / MANIFEST, "manifest") == json.loads(json.dumps(manifest))
    except UserError:
        return False


def _withdraw(folder: Path, parts: Sequence[Part], done: list[list[Any]]) -> None:
    """Take an older manifest away, so that nobody reads a mixture; its good shards keep records of their own."""
    if (folder / MANIFEST).is_file():
        for part, shards in zip(parts, done):
            for number, record in enumerate(shards):
                if record is not None:
                    write_json(folder / part.name / f"{number:05d}.json", record)
        (folder / MANIFEST).unlink()


def _clear(folder: Path, parts: Sequence[Part]) -> None:
    """Remove the records (the manifest has them), unfinished files of killed runs, and shards of earlier sources."""
    used = {f"{part.name}/{s:05d}-{name}.npy" for part in parts for s in range(part.shards) for name in part.fields}
    for path in list(folder.glob("*/*")) + list(folder.iterdir()):
        record = path.suffix == ".json" and path.stem.isdigit()
        stale = path.suffix == ".npy" and f"{path.parent.name}/{path.name}" not in used
        if record or stale or is_temporary(path):
            path.unlink(missing_ok=True)


def _check_space(folder: Path, parts: Sequence[Part], todo: list[tuple[int, int]]) -> None:
    needed = sum(_size(parts[p], s) * parts[p].item_bytes for p, s in todo)
    free = shutil.disk_usage(folder).free
    if needed * 1.02 > free:
        raise UserError(
            f"{folder} needs {needed / 1e9:.1f} GB and its disk has {free / 1e9:.1f} GB free; choose another --data."
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the lock of a killed one is gone with it."""
    if fcntl is None:  # pragma: no cover - no such locks there
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"Another process is preparing {folder}; wait for it to end.") from None
    finally:
        os.close(handle)
