"""Checkpoints or adapters that somebody drops, merged into a model that λ steers; checked before anything is kept."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from app.library import transfer
from app.library.entries import Entry
from palora_core import checkpoint
from palora_core.benchmarks.base import Benchmark, benchmarks
from palora_core.checkpoint import NOT_BUILT
from palora_core.errors import UserError
from palora_core.merging.folder import MergeRequest, merge_folder
from palora_core.merging.peft_folders import CONFIG, WEIGHTS
from palora_core.paths import data_folder

ADAPTER = {CONFIG: transfer.MIB, WEIGHTS: 512 * transfer.MIB, "README.md": transfer.MIB}
ITEMS = 1000  # test items for a front while somebody waits
MOST_PARTS = 5


@dataclass(frozen=True)
class Dropped:
    """A file as a browser sent it."""

    name: str
    file: BinaryIO


def merged(parts: Sequence[Dropped], benchmark: Benchmark, base: Dropped | None = None) -> tuple[str, list[str]]:
    """The id of the new model, and what a person should know about it. On any error nothing remains.

    Args:
        parts: one per objective, in their order: ``.safetensors`` files, or zips of model or adapter folders.
        benchmark: whose network all of them are of.
        base: what all were fine-tuned from; None for their mean.

    Raises:
        UserError: what is wrong with them, without paths of the server.
    """
    stem = " + ".join(Path(part.name).stem for part in parts)
    with transfer.arriving(f"merged-{stem}") as arrival, tempfile.TemporaryDirectory() as scratch:
        try:
            paths = [_kept(part, Path(scratch) / str(number)) for number, part in enumerate(parts)]
            start = None if base is None else _kept(base, Path(scratch) / "base")
            names = [Path(part.name).stem for part in parts]
            request = MergeRequest(benchmark, paths, names, start, data=data_folder(), items=ITEMS)
            notes = merge_folder(request, arrival.folder)
            transfer.check(arrival.folder)
        except UserError as error:
            raise UserError(_without_paths(str(error), Path(scratch), arrival.folder)) from None
        except NOT_BUILT as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise UserError(f"These files cannot be merged ({reason}); are they of this network?") from None
    return arrival.id, [_without_paths(note, Path(scratch), arrival.folder) for note in notes]


def _kept(part: Dropped, place: Path) -> Path:
    """A part as a file or a folder named as it was sent, in a scratch folder of its own."""
    place.mkdir()
    name = transfer.safe_name(Path(part.name).stem)
    if part.name.lower().endswith(".zip"):
        folder = place / name
        folder.mkdir()
        if _is_adapter(part.file):
            transfer.unpack(part.file, folder, ADAPTER, (CONFIG, WEIGHTS))
        else:
            transfer.unpack(part.file, folder)
        return folder
    if not part.name.lower().endswith(".safetensors"):
        raise UserError(f"{name} is no .safetensors file and no zip; other formats are pickles and never loaded.")
    target = place / f"{name}.safetensors"
    part.file.seek(0)
    transfer.copied(part.file, target, transfer.FILES[checkpoint.WEIGHTS], target.name)
    return target


def _is_adapter(file: BinaryIO) -> bool:
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.rpartition("/")[2] == CONFIG for name in archive.namelist())
    except transfer.NOT_READ:
        return False  # what unpacks says so


def _without_paths(sentence: str, *folders: Path) -> str:
    for folder in folders:
        for inner in sorted(folder.glob("*"), reverse=True) if folder.is_dir() else ():
            sentence = sentence.replace(f"{inner}/", "")
        sentence = sentence.replace(f"{folder}/", "").replace(str(folder), "the model")
    return sentence


@lru_cache(maxsize=512)
def _benchmark_of(folder: Path, stamp: tuple[int, ...]) -> Benchmark | None:
    """The benchmark in a card, read anew when the folder's files change; None of one that cannot be read."""
    try:
        return checkpoint.benchmark_of(checkpoint.read_card(folder))
    except UserError:
        return None


def choices(entries: Sequence[Entry]) -> Mapping[str, Benchmark]:
    """Networks that parts may be of, by titles for people: those of the models that are here, and every benchmark's."""
    found: dict[str, Benchmark] = {}
    for entry in entries:
        made = None if entry.problem else _benchmark_of(entry.folder, entry.stamp)
        if made is not None and 2 <= len(made.tasks) <= MOST_PARTS and made not in found.values():
            found[f"as {entry.title}"] = made
    for name in benchmarks.names():
        kind = benchmarks.get(name)
        try:
            made = kind()
            count = len(made.tasks)
        except Exception:  # a plugin's, which may do anything
            continue
        if 2 <= count <= MOST_PARTS and made not in found.values():
            found[getattr(kind, "title", "") or name] = made
    return found
