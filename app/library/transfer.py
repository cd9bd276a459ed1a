"""Model folders as zip files: out for download, and in from a stranger, checked before anything is kept."""

from __future__ import annotations

import io
import json
import re
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from app import jobs
from app.library.entries import Entry
from app.settings import runs_root
from palora_core import checkpoint
from palora_core.data import load_samples
from palora_core.errors import UserError
from palora_core.front import Front
from palora_core.training.card import benchmark_of

MIB = 2**20
# File → most bytes unpacked. What is not here stays out in both directions: state.pt is a pickle, log.txt and
# process.json tell about a machine.
FILES = {
    checkpoint.CARD: MIB,
    checkpoint.WEIGHTS: 512 * MIB,
    "front.json": 32 * MIB,
    "samples.npz": 64 * MIB,
    "config.json": MIB,
    "events.jsonl": 128 * MIB,
    "best.safetensors": 512 * MIB,
    "best.json": MIB,
}
MAX_ZIP = 300 * MIB
MAX_SAMPLES = 256 * MIB
FOLDER = "imported"
CHUNK = 1 << 18
# A card may describe a network as large as its weights, not one that fills the memory while it is being built.
SIZE_TOLERANCE = 4
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


# -- out --------------------------------------------------------------------------------------------------------------
def packed(entry: Entry) -> bytes:
    """The known files of a model folder as a zip with one folder in it.

    Raises:
        UserError: a folder that cannot be read.
    """
    buffer = io.BytesIO()
    name = safe_name(entry.folder.name)
    try:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in FILES:
                path = entry.folder / file
                if path.is_file() and not path.is_symlink():
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
    if jobs.read_only():
        raise UserError("Import is switched off on this server.")
    root = runs_root() / FOLDER
    try:
        root.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=".importing-", dir=root))
    except OSError as error:
        raise UserError(f"The folder of runs cannot be written ({error.strerror}).") from None
    try:
        unpack(file, hidden)
        check(hidden)
        hidden.chmod(0o755)
        target = _free(root, safe_name(Path(name).stem))
        hidden.rename(target)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return f"run:{FOLDER}/{target.name}"


def unpack(file: BinaryIO, folder: Path) -> None:
    """Write the known files of a zip into ``folder``, counting bytes as they come and not as they are announced."""
    if file.seek(0, io.SEEK_END) > MAX_ZIP:
        raise UserError(f"The zip is larger than {MAX_ZIP // MIB} MB; copy the folder to the server instead.")
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            for member, name in _members(archive).items():
                _extract(archive, member, folder / name, FILES[name])
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("This is not a zip file that can be read; export the model again.") from None


def _members(archive: zipfile.ZipFile) -> dict[zipfile.ZipInfo, str]:
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
        if name not in FILES or (folder and not NAME.fullmatch(folder)):
            raise UserError(f"The zip holds {_shown(info.filename)!r}, which is no part of a model; export it again.")
        if name in found.values():
            raise UserError(f"The zip holds {name} twice; export the model again.")
        found[info] = name
        folders.add(folder)
    missing = [name for name in (checkpoint.CARD, checkpoint.WEIGHTS) if name not in found.values()]
    if missing or len(folders) > 1:
        raise UserError(f"The zip is no exported model: {missing[0] if missing else 'one folder'} is missing.")
    return found


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, limit: int) -> None:
    written = 0
    with archive.open(member) as source, target.open("xb") as out:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > limit:
                raise UserError(f"{target.name} in the zip is larger than {limit // MIB} MB; it does not belong there.")
            out.write(chunk)


def check(folder: Path) -> None:
    """Load everything in an unpacked folder the way the app would.

    Raises:
        UserError: something does not load; the sentence names no path of the server.
    """
    try:
        card = checkpoint.read_card(folder)
        _check_size(card, (folder / checkpoint.WEIGHTS).stat().st_size)
        benchmark = benchmark_of(card)
        names = [task.name for task in benchmark.tasks]
        if [task["name"] for task in card["tasks"]] != names:
            raise UserError("The tasks of its card are not those of its benchmark; use the version it was made with.")
        model, _ = checkpoint.load(folder)
        model.merge(torch.full((model.num_tasks,), 1 / model.num_tasks))
        _check_extras(folder, names, benchmark)
    except UserError as error:
        text = str(error).replace(f"{folder}/", "").replace(str(folder), "the zip")
        raise UserError(f"This model cannot be imported. {text}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError, RecursionError):
        raise UserError("This model cannot be imported. Its card is damaged; export it again.") from None


def _check_size(card: Mapping[str, Any], weight_bytes: int) -> None:
    """Build the card's network without memory first, and refuse one that is far larger than its weights."""
    with torch.device("meta"):
        model = checkpoint.build(card)
    size = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    if size > SIZE_TOLERANCE * weight_bytes + MIB:
        raise UserError("Its card describes a far larger network than its weights are; use the card it came with.")


def _check_extras(folder: Path, names: list[str], benchmark: Any) -> None:
    if (folder / "front.json").exists() and list(Front.load(folder / "front.json").tasks) != names:
        raise UserError("Its front belongs to other tasks; evaluate the model again.")
    samples = folder / "samples.npz"
    if samples.exists():
        try:
            with zipfile.ZipFile(samples) as archive:
                size = sum(info.file_size for info in archive.infolist())
        except zipfile.BadZipFile:
            raise UserError("Its samples are damaged; export it again.") from None
        if size > MAX_SAMPLES:
            raise UserError(f"Its samples unpack to more than {MAX_SAMPLES // MIB} MB; export it with fewer.")
        load_samples(samples, benchmark.convert).batch(torch.arange(1))
    for name in ("config.json", "best.json"):
        if (folder / name).exists():
            json.loads((folder / name).read_text(encoding="utf-8"))
    if (folder / "best.safetensors").exists() and (folder / "best.json").exists():
        checkpoint.load(folder, "best.safetensors")


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
