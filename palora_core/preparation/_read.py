"""Reading files of raw releases, with one sentence that names the file where one is damaged."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from palora_core.errors import UserError


def read_image(path: Path, modes: tuple[str, ...], size: tuple[int, int] | None = None) -> Image.Image:
    """A decoded picture.

    Args:
        path: the file.
        modes: Pillow modes that are right for it.
        size: (height, width) that it must have.

    Raises:
        UserError: missing, truncated, of another mode or size.
    """
    try:
        with Image.open(path) as image:
            image.load()
    except FileNotFoundError:
        raise UserError(f"{path} is missing.") from None
    except Exception as error:  # Pillow reports damage in many ways
        reason = "not an image format" if isinstance(error, UnidentifiedImageError) else str(error) or "damaged"
        raise UserError(f"{path} is truncated or not a picture ({reason}).") from None
    if image.mode not in modes:
        raise UserError(f"{path} is of mode {image.mode}, expected {' or '.join(modes)}.")
    if size is not None and (image.height, image.width) != size:
        raise UserError(f"{path} is {image.height} × {image.width} pixels, expected {size[0]} × {size[1]}.")
    return image


def read_npy(path: Path, *shapes: tuple[int, ...]) -> np.ndarray:
    """A ``.npy`` array of numbers with one of the given shapes.

    Raises:
        UserError: missing, truncated, no numbers, of another shape, or with NaN or infinity in it.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing.") from None
    except Exception as error:  # numpy reports damage in many ways
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is truncated or not a .npy array ({reason}).") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise UserError(f"{path} does not hold one array of numbers.")
    if shapes and array.shape not in shapes:
        expected = " or ".join(str(list(shape)) for shape in shapes)
        raise UserError(f"{path} has the shape {list(array.shape)}, expected {expected}.")
    check_finite(array, str(path))
    return array


def check_finite(array: np.ndarray, where: str) -> None:
    """Refuse NaN and infinity."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"{where} holds {int((~np.isfinite(array)).sum()):,} values that are NaN or infinite.")


def check_range(array: np.ndarray, low: float, high: float, where: str, what: str) -> None:
    """Refuse values outside [low, high]."""
    if array.size and (array.min() < low or array.max() > high):
        found = f"{array.min():g} … {array.max():g}"
        raise UserError(f"{where} holds {what} {found}, expected {low:g} … {high:g}.")


def whole_labels(array: np.ndarray, low: int, high: int, where: str) -> np.ndarray:
    """Labels as int8, refused where they are no whole numbers in [low, high]."""
    labels = np.rint(array)
    if not np.array_equal(labels, array):
        raise UserError(f"{where} holds labels that are not whole numbers.")
    check_range(labels, low, high, where, "labels")
    return labels.astype(np.int8)


def below(source: Path, *patterns: str) -> Iterator[Path]:
    """What matches one of the globs in ``source`` or at most three folders below, the nearest first.

    Links to folders are followed (``**`` would not); what macOS and archives leave beside the data is passed over.
    """
    for depth in ("", "*/", "*/*/", "*/*/*/"):
        for pattern in patterns:
            yield from (path for path in sorted(source.glob(depth + pattern)) if _is_data(path.relative_to(source)))


def files_below(source: Path) -> Iterator[Path]:
    """All files in and below ``source``; links to folders are followed, each folder is visited once."""
    visited = set()
    for folder, folders, names in os.walk(source, followlinks=True):
        place = os.path.realpath(folder)
        folders[:] = [] if place in visited else sorted(name for name in folders if _is_data(Path(name)))
        if place not in visited:
            yield from (Path(folder, name) for name in sorted(names) if _is_data(Path(name)))
        visited.add(place)


def _is_data(path: Path) -> bool:
    """Not hidden (.DS_Store, ._name) and not in the folder that macOS adds to archives."""
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def find(source: Path, *names: str, folder: bool = False) -> Path | None:
    """The first file (or folder) of one of these names in ``source`` or at most three folders below."""
    return next((path for path in below(source, *names) if (path.is_dir() if folder else path.is_file())), None)


def numbered(folder: Path) -> dict[int, Path]:
    """Files ``0.npy``, ``1.npy``, … of a folder by number."""
    return {int(path.stem): path for path in folder.glob("*.npy") if re.fullmatch(r"\d+", path.stem)}


def some(names: Iterable[Any], limit: int = 5) -> str:
    """The first few of many names."""
    names = [str(name) for name in names]
    more = f", … ({len(names) - limit:,} more)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of change, to keep what was read of a file apart from what a new one holds."""
    try:
        status = path.stat()
    except OSError:
        raise UserError(f"{path} is missing.") from None
    return status.st_size, status.st_mtime_ns


def load_mat(path: Path, name: str) -> dict[str, Any]:
    """Variables of a MATLAB file up to version 7.2.

    Raises:
        UserError: damaged, of version 7.3, or without scipy to read it.
    """
    try:
        from scipy.io import loadmat
    except ImportError:  # pragma: no cover - a dependency of the package
        raise UserError(f"Reading {path} needs scipy; install it with: pip install scipy.") from None
    try:
        return loadmat(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing.") from None
    except Exception as error:  # scipy reports damage in many ways
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is damaged or not the MATLAB file {name} ({reason}).") from None
