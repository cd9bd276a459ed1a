"""Model folders as zip files: out for download, and in from a stranger, checked before anything is kept."""

from __future__ import annotations

import io
import lzma
import re
import shutil
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import torch

from app import jobs
from app.folders import holds, id_of
from app.library.cards import checked_benchmark
from app.library.checks import form_of, front_of, samples_of
from app.library.entries import FRONT, SAMPLES, Entry
from app.settings import MAX_IMPORT_BYTES, runs_root
from palora_core import checkpoint
from palora_core.errors import UserError
from palora_core.evaluation.familiarity import FILE as FAMILIARITY
from palora_core.storage.events import EVENTS, EventLog
from palora_core.storage.reading import is_file
from palora_core.storage.runs import Run
from palora_core.storage.writing import why_not_written

MIB = 2**20
BEST = "best.safetensors"
# File → most bytes unpacked. What is not here stays out in both directions: state.pt is a pickle, log.txt and
# process.json tell about a machine.
FILES = {
    checkpoint.CARD: MIB,
    checkpoint.WEIGHTS: 512 * MIB,
    FRONT: 32 * MIB,
    SAMPLES: 64 * MIB,
    FAMILIARITY: MIB,
    "config.json": MIB,
    EVENTS: 32 * MIB,
    BEST: 512 * MIB,
    "best.json": MIB,
}
NEEDED = (checkpoint.CARD, checkpoint.WEIGHTS)
# What zipfile and what unpacks for it raise on damaged archives.
NOT_READ = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError),
)
MAX_ZIP = MAX_IMPORT_BYTES
FOLDER = "imported"
CHUNK = 1 << 18
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


# -- out --------------------------------------------------------------------------------------------------------------
def packed(entry: Entry) -> bytes:
    """The known files of a model folder as a zip with one folder in it.

    Raises:
        UserError: a folder that cannot be read.
    """
    buffer = io.BytesIO()
    name = safe_name(id_of(entry.folder.name))
    try:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for file in FILES:
                path = entry.folder / file
                if is_file(path) and not path.is_symlink():
                    archive.write(path, f"{name}/{file}")
    except OSError as error:
        raise UserError(f"{entry.title} cannot be read ({error.strerror}).") from None
    return buffer.getvalue()


# -- in ---------------------------------------------------------------------------------------------------------------
def imported(file: BinaryIO, name: str) -> str:
    """Unpack a zip into the run root as a model of its own; returns its id. On any error nothing of it remains.

    Args:
        file: the zip.
        name: what the file was called; the model's folder is named after it.

    Raises:
        UserError: not a zip, too large, with files that do not belong there, or no model that can be loaded.
    """
    with arriving(Path(name).stem) as arrival:
        unpack(file, arrival.folder)
        check(arrival.folder)
    return arrival.id


@dataclass
class Arrival:
    """A model on its way in.

    Attributes:
        folder: hidden, until the block ends well.
        id: what the model is called after that.
    """

    folder: Path
    id: str = ""


@contextmanager
def arriving(stem: str) -> Iterator[Arrival]:
    """A block that fills a folder, which becomes a model named after ``stem``; on any error nothing of it remains.

    Raises:
        UserError: import is switched off, or the disk refuses.
    """
    if jobs.read_only():
        raise UserError("Import is switched off on this server.")
    root = runs_root() / FOLDER
    with writing():
        root.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=".importing-", dir=root))
    try:
        yield (arrival := Arrival(hidden))
        target = _free(root, safe_name(stem))
        with writing():
            hidden.chmod(0o755)
            hidden.rename(target)
        arrival.id = f"run:{FOLDER}/{target.name}"
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def writing() -> Iterator[None]:
    """A block that writes; where the disk refuses, that is a sentence. (Damaged streams have no errno.)"""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        reason = why_not_written(error)
        raise UserError(f"The folder of runs cannot be written ({reason}); make room there and try again.") from None


def unpack(file: BinaryIO, folder: Path, known: Mapping[str, int] = FILES, needed: Sequence[str] = NEEDED) -> None:
    """Write the known files of a zip into ``folder``, counting bytes as they come and not as they are announced.

    Args:
        file: the zip.
        folder: where to.
        known: file → most bytes; others are refused.
        needed: what it has to hold.
    """
    if file.seek(0, io.SEEK_END) > MAX_ZIP:
        raise UserError(f"The zip is larger than {MAX_ZIP // MIB} MB; copy the folder to the server instead.")
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            for member, name in _members(archive, known, needed).items():
                _extract(archive, member, folder / name, known[name])
    except UserError:
        raise
    except NOT_READ:
        raise UserError("This is not a zip file that can be read; export the model again.") from None


def _members(archive: zipfile.ZipFile, known: Mapping[str, int], needed: Sequence[str]) -> dict[zipfile.ZipInfo, str]:
    """The files of the archive by their plain names; all of them in its top, or all in one folder."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(archive.infolist()) > 4 * len(FILES):
        raise UserError("The zip holds too many files for a model; export it again.")
    found: dict[zipfile.ZipInfo, str] = {}
    folders = set()
    for info in infos:
        folder, _, name = info.filename.rpartition("/")
        mode = info.external_attr >> 16
        plain = not mode or stat.S_IFMT(mode) in (0, stat.S_IFREG)
        if not plain or info.flag_bits & 1:
            raise UserError(
                f"The zip holds {_shown(name)!r}, which is a link or encrypted; only plain files can come in."
            )
        if name not in known or (folder and not NAME.fullmatch(folder)):
            raise UserError(f"The zip holds {_shown(info.filename)!r}, which is no part of a model; export it again.")
        if name in found.values():
            raise UserError(f"The zip holds {name} twice; export the model again.")
        found[info] = name
        folders.add(folder)
    missing = [name for name in needed if name not in found.values()]
    if missing or len(folders) > 1:
        raise UserError(f"The zip is no exported model: {missing[0] if missing else 'one folder'} is missing.")
    return found


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, limit: int) -> None:
    with archive.open(member) as source:
        copied(source, target, limit, f"{target.name} in the zip")


def copied(source: IO[bytes], target: Path, limit: int, what: str) -> None:
    """Write a new file from what comes, ``limit`` bytes at most; ``what`` begins the sentence on more."""
    written = 0
    with writing(), target.open("xb") as out:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > limit:
                raise UserError(f"{what} is larger than {limit // MIB} MB; it does not belong there.")
            out.write(chunk)


def check(folder: Path) -> None:
    """Read everything in an unpacked folder the way pages do, small files first.

    Raises:
        UserError: something cannot be read or does not fit; the sentence names no path of the server.
    """
    try:
        card = checkpoint.read_card(folder)
        benchmark = checked_benchmark(card)
        names = [task.name for task in benchmark.tasks]
        _check_small(folder, names)
        model, _ = checkpoint.load(folder)
        model.merge(torch.full((model.num_tasks,), 1 / model.num_tasks))
        if holds(folder, SAMPLES):
            samples_of(folder / SAMPLES, model, benchmark)
        else:
            form_of(card, model, benchmark)
        if holds(folder, BEST) and holds(folder, "best.json"):
            checkpoint.load(folder, BEST)
    except UserError as error:
        text = str(error).replace(f"{folder}/", "").replace(str(folder), "the zip")
        raise UserError(f"This model cannot be imported. {text}") from None
    except checkpoint.NOT_BUILT:
        raise UserError("This model cannot be imported. Its card is damaged; export it again.") from None


def _check_small(folder: Path, names: list[str]) -> None:
    """All files but weights and samples."""
    if holds(folder, FRONT):
        front_of(folder, names)
    if holds(folder, "config.json"):
        Run(folder).config()
    if holds(folder, "best.json"):
        checkpoint.read_card(folder, "best.json")
    problem = EventLog(folder).update().problem
    if problem:
        raise UserError(problem.partition(";")[0] + "; export it again, or leave that file out.")


def safe_name(text: str) -> str:
    """A folder name of letters, digits, dots and dashes."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-_")[:60]
    return cleaned or "model"


def _free(root: Path, stem: str) -> Path:
    """A folder name that is not taken."""
    for number in range(1000):
        path = root / (f"{stem}-{number + 1}" if number else stem)
        if not path.exists():
            return path
    return root / f"{stem}-{time.time_ns()}"


def _shown(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}…"
