"""Writing parts: shards in parallel, kept across runs, the manifest last."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from palora_core.errors import UserError
from palora_core.preparation._shards import Part
from palora_core.preparation._worker import Task, make_in_processes, make_shards
from palora_core.storage.prepared import FORMAT, MANIFEST
from palora_core.storage.reading import read_json
from palora_core.storage.writing import CannotWrite, is_temporary, sha256, write_json

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None  # type: ignore[assignment]

Progress = Callable[[str, int, int], None]
_SHARD = re.compile(r"\d{5}-\w+\.npy|\d{5}\.json")  # names of our own; a person's files may lie beside them


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


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """A folder that cannot be made or written (no right to it, a file of that name, a full disk) is one sentence."""
    try:
        yield
    except CannotWrite as error:
        told = f"{folder} cannot be written ({error.reason}); choose another --data, or make room there."
        raise UserError(told) from None
    except OSError as error:
        raise UserError(
            f"{error.filename or folder} cannot be written ({error.strerror or error}); choose another --data, or put "
            "this right and run the command again."
        ) from None


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
    finished = total - sum(parts[p].size(s) for p, s in todo)
    problems: list[str] = []
    for (p, s), record in _results(folder, parts, prints, todo, workers):
        if isinstance(record, list):
            problems += record
        else:
            done[p][s] = record
        finished += parts[p].size(s)
        if progress:
            progress("preparing", finished, total)
    if problems:
        more = f" ({len(problems) - 1} more: {' '.join(problems[1:4])})" if len(problems) > 1 else ""
        raise UserError(f"{problems[0]}{more} Everything else is kept: put this right and run the command again.")


def _results(
    folder: Path, parts: Sequence[Part], prints: list[list[str]], todo: list[tuple[int, int]], workers: int
) -> Iterator[tuple[tuple[int, int], Any]]:
    """((part, shard), its record or its problems) as they are finished."""
    tasks: list[Task] = [(p, s, prints[p][s]) for p, s in todo]
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    if workers <= 1 or len(tasks) <= 2:
        yield from make_shards(folder, parts, tasks)
    else:
        yield from make_in_processes(folder, parts, tasks, workers)


def _known(folder: Path) -> dict[tuple[str, int, str], dict[str, Any]]:
    """Records of whole shards, by (part, shard, fingerprint): from the manifest and from an unfinished run."""
    records: list[tuple[str, int, Any]] = []
    try:
        parts = read_json(folder / MANIFEST, "manifest")["parts"]
        records += [(name, s, record) for name, part in parts.items() for s, record in enumerate(part["shards"])]
    except (UserError, KeyError, TypeError, AttributeError):
        pass
    for path in folder.glob("*/*.json"):
        if _SHARD.fullmatch(path.name):
            with suppress(UserError):  # a damaged record is none: its shard is made again
                records.append((path.parent.name, int(path.stem), read_json(path, "record")))
    return {(name, s, r["fingerprint"]): r for name, s, r in records if _whole(folder, r)}


def _whole(folder: Path, record: Any) -> bool:
    """Whether all files of a record are what was written: what ``--check`` refuses is made again."""
    try:
        files = record["files"].values()
        same = all((folder / e["file"]).stat().st_size == e["bytes"] for e in files) and bool(record["fingerprint"])
        return same and all(sha256(folder / e["file"]) == e["sha256"] for e in files)
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
        # The raw release may lie in the same folder: only names of our own are touched.
        stale = path.parent != folder and _SHARD.fullmatch(path.name) and f"{path.parent.name}/{path.name}" not in used
        if stale or is_temporary(path):
            path.unlink(missing_ok=True)


def _check_space(folder: Path, parts: Sequence[Part], todo: list[tuple[int, int]]) -> None:
    needed = sum(parts[p].size(s) * parts[p].item_bytes for p, s in todo)
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
