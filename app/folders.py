"""Folders below a root, and their names as ids: any name that a file system allows becomes text for URLs and JSON."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

from palora_core.errors import UserError, quoted

HIDDEN = (".", "_")  # how the names of folders begin that are not listed


def subfolders(root: Path, links: bool = True) -> list[Path]:
    """The folders in ``root`` by name, hidden ones left out; [] where it cannot be read.

    Args:
        root: where to look.
        links: also what links to a folder.
    """
    found = []
    try:
        with os.scandir(root) as entries:  # knows without a further call which entries are folders
            for entry in entries:
                try:
                    if not entry.name.startswith(HIDDEN) and entry.is_dir(follow_symlinks=links):
                        found.append(entry.name)
                except OSError:  # a link in a circle must not hide all others
                    continue
    except OSError:
        return []
    return [root / name for name in sorted(found)]


def holds(folder: Path, *names: str) -> bool:
    """Whether anything of these names is in a folder, be it a file or not."""
    return any(os.path.lexists(folder / name) for name in names)


def id_of(name: str) -> str:
    """The name of a folder as text: what no browser shows, what is no text, ``%`` and the backtick as ``%XX``."""
    return "".join(c if c.isprintable() and c not in "%`" else _percent(c) for c in name)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(character))


def name_of(text: str) -> str:
    """The name of the folder that :func:`id_of` made into ``text``.

    Raises:
        UserError: no name of a folder that is listed.
    """
    try:
        name = os.fsdecode(unquote_to_bytes(text))
    except UnicodeEncodeError:
        name = ""
    if not name or name.startswith(HIDDEN) or "/" in name or "\0" in name or id_of(name) != text:
        raise UserError(f"There is no folder called {quoted(text)}.")
    return name


def key_of(*parts: object) -> str:
    """A key for a component or a widget that stands for ``parts``: letters and digits, whatever they are."""
    return hashlib.sha256("\0".join(map(str, parts)).encode(errors="replace")).hexdigest()[:16]
