"""How a person's file becomes what a network reads, for people who do not have this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preprocessing:
    """From a file to a network's inputs, as data and as the lines of Python that apply them.

    Attributes:
        suffix: of the files that the lines read.
        data: sizes, scales, columns, words: JSON.
        lines: of a script in which ``path`` is a file and ``form`` is ``data``; they leave ``inputs``, arrays
            [1, …] by name. They may use numpy as ``np``.
        imports: modules that they use, of pillow and Python's own library.
        about: in words, with what is done differently here, if anything.
    """

    suffix: str
    data: Mapping[str, Any]
    lines: tuple[str, ...]
    imports: tuple[str, ...]
    about: str


PICTURE = (
    'picture = PIL.ImageOps.exif_transpose(PIL.Image.open(path)).convert("RGB")',
    "picture.thumbnail((1024, 1024), PIL.Image.Resampling.LANCZOS)",
)
# The middle with the proportions of the network's; then planes of its size, unrounded.
MIDDLE = (
    '(h, w), (x, y) = form["size"], picture.size',
    "u, v = min(x, max(1, round(y * (w / h)))), min(y, max(1, round(x / (w / h))))",
    "middle = picture.crop(((x - u) // 2, (y - v) // 2, (x + u) // 2, (y + v) // 2))",
    'planes = [plane.convert("F").resize((w, h), 2) for plane in middle.split()]',
)
