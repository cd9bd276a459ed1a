"""The folders of runs. Names come from browsers: only :func:`folder_of` turns them into paths."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

from app.jobs.orders import read_order
from app.settings import runs_root
from palora_core.errors import UserError, quoted
from palora_core.files import CannotWrite, why_not_written

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")
DEPTH = 3  # sweeps put their runs into sub-folders


def folder_of(name: str) -> Path:
    """The folder of the run called ``name``.

    Raises:
        UserError: not a run below the run root.
    """
    parts = str(name).split("/")
    if len(parts) <= DEPTH and all(NAME.fullmatch(part) for part in parts):
        folder = runs_root().joinpath(*parts)
        if folder.is_dir() and folder.resolve() == runs_root().resolve().joinpath(*parts):
            return folder
    raise UserError(f"There is no run called {quoted(str(name))}.")


def names() -> list[str]:
    """All runs below the run root, newest first."""
    root = runs_root()
    ages = {}
    for path in _run_folders(root, DEPTH):
        with contextlib.suppress(FileNotFoundError):  # deleted in this moment
            ages[path] = created(path, path.stat().st_mtime)
    return [path.relative_to(root).as_posix() for path in sorted(ages, key=lambda p: (-ages[p], p.name))]


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    try:
        children = [p for p in folder.iterdir() if NAME.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    except OSError:
        return
    for child in children:
        if any((child / name).is_file() for name in ("config.json", "job.json")):
            yield child
        elif depth > 1:
            yield from _run_folders(child, depth - 1)


def created(folder: Path, changed: float) -> float:
    """When a run was made; ``changed`` where nothing says so."""
    noted = read_order(folder).get("created")
    if isinstance(noted, int | float):
        return float(noted)
    with contextlib.suppress(OSError):
        return (folder / "config.json").stat().st_mtime
    return changed


@contextlib.contextmanager
def writable() -> Iterator[None]:
    """A block that writes below the run root; where it cannot, that is a sentence.

    Raises:
        UserError: why, without the path, which is nobody's business.
    """
    try:
        yield
    except (OSError, CannotWrite) as error:
        raise UserError(
            f"The folder of runs cannot be written ({why_not_written(error)}), so no run can be started or changed. "
            "Make room there, make it writable for this server, or set PALORA_READ_ONLY=1."
        ) from None


def new_folder(stem: str) -> Path:
    """Make the folder of a new run: ``stem`` and the time."""
    root = runs_root()
    with writable():
        root.mkdir(parents=True, exist_ok=True)
        for number in range(1000):
            stamp = time.strftime("%Y%m%d-%H%M%S") + (f"-{number}" if number else "")
            with contextlib.suppress(FileExistsError):
                (root / f"{stem}-{stamp}").mkdir()
                return root / f"{stem}-{stamp}"
    raise UserError("Too many runs were started in one second; try again.")
