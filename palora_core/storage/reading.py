"""Reading files that anybody may have written: bounded before memory is spent, and total.

Whatever lies at a path (a folder, a pipe, a link in a circle, gigabytes, bytes that are no text, brackets a thousand
deep), the answer is its content or one :class:`UserError`.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from palora_core.errors import UserError

MIB = 2**20
MOST_DEPTH = 32
# No number that a program means has more digits; more of them are read as a float, as other JSON readers do.
MOST_DIGITS = 20
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Bounds:
    """What a JSON file may be at most; all of it is counted in its bytes, before anything is built from them.

    Attributes:
        size: bytes.
        values: commas, about the number of values.
        containers: opening brackets and braces.
    """

    size: int = 64 * MIB
    values: int = 4_000_000
    containers: int = 500_000


ANY = Bounds()
SMALL = Bounds(MIB, 50_000, 10_000)


def is_file(path: Path) -> bool:
    """Whether ``path`` is a regular file that can be asked for; never raises."""
    return _mode(path, stat.S_ISREG)


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder that can be asked for; never raises."""
    return _mode(path, stat.S_ISDIR)


def _mode(path: Path, kind: Any) -> bool:
    try:
        return bool(kind(Path(path).stat().st_mode))
    except (OSError, ValueError):
        return False


def open_file(path: Path) -> BinaryIO:
    """A regular file, open for reading.

    Raises:
        OSError: also for what is no file, and for a path that no file system takes.
    """
    try:
        # Without O_NONBLOCK a named pipe in the file's place would wait for a writer for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EISDIR, "it is no file")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, what: str, most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: the file.
        what: its role, for messages.
        most: bytes it may have.

    Raises:
        UserError: missing, no file, not readable or larger.
    """
    try:
        with open_file(path) as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise UserError(f"There is no {what} at {path}.") from None
    except OSError as error:
        raise UserError(f"The {what} {path} cannot be read ({error.strerror or error}).") from None
    if len(data) > most:
        raise UserError(f"The {what} {path} is larger than {_megabytes(most)}; it does not belong there.")
    return data


def read_json(path: Path, what: str, bounds: Bounds = ANY) -> Any:
    """Read JSON; NaN and infinity become null, as :func:`palora_core.storage.writing.write_json` writes them.

    Args:
        path: the file.
        what: its role, for messages.
        bounds: what it may be at most.

    Raises:
        UserError: missing, not JSON, or beyond ``bounds``.
    """
    path = Path(path)
    return parse_json(read_bytes(path, what, bounds.size), f"The {what} {path}", bounds)


def parse_json(data: bytes, told: str, bounds: Bounds = ANY) -> Any:
    """The value in bytes of JSON; ``told`` begins the sentence of an error."""
    if data.count(b",") > bounds.values or data.count(b"[") + data.count(b"{") > bounds.containers:
        raise UserError(f"{told} holds more values than belong there; restore it or make it again.")
    try:
        value = json.loads(data.decode(), parse_int=_whole, parse_float=_fraction, parse_constant=lambda _: None)
        return _checked(value, MOST_DEPTH)
    except (ValueError, RecursionError):
        raise UserError(f"{told} is damaged (not valid JSON); restore it or make it again.") from None


def _whole(text: str) -> int | float | None:
    return int(text) if len(text) <= MOST_DIGITS else _fraction(text)


def _fraction(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _checked(value: Any, depth: int) -> Any:
    """``value`` without half characters, which no browser and no file can be told."""
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if not isinstance(value, dict | list):
        return value
    if not depth:
        raise RecursionError
    if isinstance(value, list):
        # Most of a large file are rows of numbers; they are left as they are.
        return [_checked(item, depth - 1) if isinstance(item, str | list | dict) else item for item in value]
    return {SURROGATE.sub("\ufffd", key): _checked(item, depth - 1) for key, item in value.items()}


def _megabytes(size: int) -> str:
    return f"{size / MIB:.0f} MB" if size >= MIB else f"{size / 1024:.0f} kB"
