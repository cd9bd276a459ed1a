"""Arrays in an ``.npz`` file of somebody else: sizes are known from headers before anything is unpacked."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from palora_core.errors import UserError
from palora_core.storage.reading import MIB, is_file

MOST_BYTES = 256 * MIB
MOST_ARRAYS = 512
MOST_HEADER = 10_000  # numpy's own bound
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path: Path, what: str, most: int = MOST_BYTES) -> dict[str, np.ndarray]:
    """Name → array; nothing is unpickled.

    Args:
        path: the file.
        what: its role, for messages.
        most: bytes that it may unpack to.

    Raises:
        UserError: missing, damaged, with arrays of objects, or larger than ``most``.
    """
    try:
        if not is_file(path) and Path(path).exists():
            raise UserError("it is no file")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > most or len(members) > MOST_ARRAYS:
                raise UserError(f"{len(members)} arrays of {size / MIB:.0f} MB are more than belong there")
            found = {}
            for member in members:
                with archive.open(member) as file:
                    found[member.filename.removesuffix(".npy")] = _array(file, member.file_size)
            return found
    except FileNotFoundError:
        raise UserError(f"There are no {what} at {path}; evaluate the model on its data set instead.") from None
    except UserError as error:
        reason = str(error)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        reason = str(error).partition("\n")[0][:100] or type(error).__name__
    raise UserError(f"The {what} {path} are damaged ({reason}); copy the model folder again.") from None


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """One ``.npy`` of ``size`` bytes: its header must announce exactly what is there."""
    version = np.lib.format.read_magic(file)
    if version not in READERS:
        raise UserError(f"an array has numpy's format {version}")
    head = io.BytesIO(file.read(min(size, MOST_HEADER + 12)))
    try:
        shape, fortran, dtype = READERS[version](head, max_header_size=MOST_HEADER)
    except Exception:  # numpy parses it as Python, which may raise anything
        raise UserError("an array has no header of numpy") from None
    if dtype.hasobject or dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise UserError(f"an array holds {str(dtype)[:40]}, not numbers")
    length = math.prod(shape) * dtype.itemsize
    if any(side < 0 for side in shape) or length != size - head.tell() - np.lib.format.MAGIC_LEN:
        raise UserError("an array is not as large as its header says")
    data = head.read() + file.read()
    if len(data) != length:
        raise UserError("an array ends too early")
    array = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
