"""Writing files so that a reader, or a kill at any moment, sees the old content or the new, never half of it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from palora_core.errors import UserError

__all__ = [
    "CannotWrite",
    "cannot_write",
    "is_sealed",
    "is_temporary",
    "plain",
    "seal",
    "sha256",
    "why_not_written",
    "write_atomically",
    "write_json",
]

TEMPORARY = ".unfinished"
SEAL = 65  # bytes: a new line and a hash


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary path beside ``path``, flush it to disk, then put it in place.

    The file's permissions follow the umask.

    Raises:
        UserError: it cannot be written: a full disk, a read-only folder; what was there before is left as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        permissions = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(permissions)  # safetensors makes a file of its own
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = why_not_written(error)
        if reason is None:
            raise
        raise cannot_write(path, reason) from None


class CannotWrite(UserError):
    """A file could not be written.

    Attributes:
        reason: why, in the system's words; for sentences that name no path.
    """

    reason: str = "the disk refused"


def cannot_write(path: Path, reason: str) -> CannotWrite:
    """The error for a file that could not be written."""
    sentence = f"{path} cannot be written ({reason}); make room, or choose a place where you may write."
    error = CannotWrite(sentence)
    error.reason = reason
    return error


def why_not_written(error: BaseException) -> str | None:
    """Why a file could not be written, in words; None for an error of another kind.

    torch and safetensors write by themselves and have errors of their own for that.
    """
    if isinstance(error, CannotWrite):
        return error.reason
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = str(error)
    if type(error).__name__ == "SafetensorError" and "os error" in text:
        return text.partition("(os error")[0].rpartition(":")[2].strip() or "the disk refused"
    if isinstance(error, RuntimeError) and ("PytorchStreamWriter" in text or "unexpected pos" in text):
        return "the disk is full or refused"
    return None


def seal(path: Path) -> None:
    """Append the hash of a file's content to it; readers that know where the content ends do not mind."""
    digest = sha256(path)
    with path.open("ab") as file:
        file.write(b"\n" + digest.encode())


def is_sealed(path: Path) -> bool:
    """Whether a file ends with the hash of all that comes before it: not a bit of it has changed."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = file.seek(0, os.SEEK_END) - SEAL
        file.seek(0)
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
        return left == 0 and file.read() == b"\n" + digest.hexdigest().encode()


def is_temporary(path: Path) -> bool:
    """Whether ``path`` is what a writer that was killed left behind."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY)


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically; NaN and infinity become null."""
    text = json.dumps(plain(data), indent=1, allow_nan=False)
    write_atomically(path, lambda temporary: temporary.write_text(text + "\n"))


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """``value`` as JSON has it: lists for tuples, text keys, null for NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
