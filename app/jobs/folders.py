"""The folders of runs. Names come from browsers: only :func:`folder_of` turns them into paths."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from app.folders import holds, id_of, name_of, subfolders
from app.jobs.orders import read_order
from app.settings import runs_root
from palora_core.errors import UserError, quoted
from palora_core.storage.events import EVENTS
from palora_core.storage.reading import is_folder
from palora_core.storage.writing import CannotWrite, why_not_written

DEPTH = 3  # sweeps put their runs into sub-folders


def folder_of(name: str) -> Path:
    """The folder of the run called ``name``.

    Raises:
        UserError: not a run below the run root.
    """
    with contextlib.suppress(UserError):
        parts = [name_of(part) for part in str(name).split("/")]
        folder = runs_root().joinpath(*parts)
        inside = folder.resolve() == runs_root().resolve().joinpath(*parts)
        if len(parts) <= DEPTH and is_folder(folder) and inside:
            return folder
    raise UserError(f"There is no run called {quoted(str(name))}.")


def names() -> list[str]:
    """All runs below the run root, newest first."""
    root = runs_root()
    ages = {}
    for name, path in _run_folders(root, DEPTH):
        with contextlib.suppress(OSError):  # deleted in this moment
            ages[name] = created(path, path.stat().st_mtime)
    return sorted(ages, key=lambda name: (-ages[name], name))


def _run_folders(folder: Path, depth: int, prefix: str = "") -> Iterator[tuple[str, Path]]:
    for child in subfolders(folder, links=False):
        name = prefix + id_of(child.name)
        if holds(child, "config.json", "job.json", EVENTS):
            yield name, child
        elif depth > 1:
            yield from _run_folders(child, depth - 1, f"{name}/")


def created(folder: Path, changed: float) -> float:
    """When a run was made; ``changed`` where nothing says so."""
    noted = read_order(folder).get("created")
    if noted is not None:
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
