"""Arrays of scenes in .npy files that can grow: which there are, how they are packed, checked and mapped."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from palora_core.scenes.generate import SceneError

# NumPy pads headers so that the first length can grow to any size in place; every header of ours has this many bytes.
HEADER = 128


@dataclass(frozen=True)
class Field:
    """One array of a cache: N rows in ``<name>.npy``.

    Attributes:
        name: of the array and its file.
        key: of the value in a rendered scene.
        dtype: as stored.
        shape: of one row.
    """

    name: str
    key: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def path(self, folder: Path) -> Path:
        """The array's file."""
        return folder / f"{self.name}.npy"

    def pack(self, value: np.ndarray) -> np.ndarray:
        """A rendered value as it is stored."""
        if self.key == "normal":
            return np.rint(value * 127).astype(np.int8)
        return np.ascontiguousarray(value, self.dtype)


def fields(height: int, width: int) -> tuple[Field, ...]:
    """The arrays of a cache.

    Depth is stored as float16: its error is at most 1/2048 of the depth (2 mm at 4 m), a tenth of a depth sensor's
    noise and far below any network's error, and zeros, which mark missing depth, stay zeros. Normals are stored as
    int8 times 127: at most 0.4° off once they have unit length again, where good networks are 15° off.
    """
    plane = (height, width)
    return (
        Field("images", "image", np.dtype(np.uint8), (*plane, 3)),
        Field("labels", "label", np.dtype(np.int8), plane),
        Field("depths", "depth", np.dtype("<f2"), plane),
        Field("normals", "normal", np.dtype(np.int8), (*plane, 3)),
    )


def grow(field: Field, folder: Path, rows: int) -> None:
    """Make the array's file long enough for ``rows``; rows that are there stay, new ones are zeros on no disk space."""
    path = field.path(folder)
    header = io.BytesIO()
    description = {"descr": field.dtype.str, "fortran_order": False, "shape": (rows, *field.shape)}
    np.lib.format.write_array_header_1_0(header, description)
    if len(header.getvalue()) != HEADER:
        raise SceneError(f"Scenes of {field.shape} pixels can't be stored by this version of NumPy ({np.__version__}).")
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
        if os.fstat(file.fileno()).st_size < HEADER + rows * field.row_bytes:
            file.truncate(HEADER + rows * field.row_bytes)
            file.write(header.getvalue())


def write(field: Field, folder: Path, start: int, rows: np.ndarray) -> None:
    """Put rows in their place and wait until they are on the disk."""
    with field.path(folder).open("r+b") as file:
        file.seek(HEADER + start * field.row_bytes)
        file.write(rows.tobytes())
        file.flush()
        os.fsync(file.fileno())


def open_rows(field: Field, folder: Path, rows: int) -> np.ndarray:
    """The first ``rows`` rows, mapped into memory, read-only.

    Raises:
        SceneError: the file is missing, too short, or holds something else.
    """
    path = field.path(folder)
    again = f"delete the folder {folder} and generate the scenes again"
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise SceneError(f"{path} is missing; {again}.") from None
    except (OSError, ValueError, EOFError):
        raise SceneError(f"{path} is damaged (no NumPy header); {again}.") from None
    if shape[1:] != field.shape or dtype != field.dtype or by_column:
        found = f"{dtype} {shape[1:]}"
        raise SceneError(f"{path} holds {found} instead of {field.dtype} {field.shape} per scene; {again}.")
    if size < HEADER + rows * field.row_bytes:
        held = max(size - HEADER, 0) // field.row_bytes
        raise SceneError(f"{path} is truncated: it holds {held} of {rows} scenes; {again}.")
    return np.memmap(path, field.dtype, "r", HEADER, (rows, *field.shape))
