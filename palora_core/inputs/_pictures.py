"""What inputs that are pictures share: a person's picture is read, and its middle resized to what the network takes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.inputs.base import Input

SUFFIXES = ("png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff")


@dataclass(frozen=True)
class Picture(Input):
    """A picture, shown as RGB uint8 [H, W, 3].

    Args:
        size: (height, width) that the network takes.
    """

    size: tuple[int, int]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of picture files."""
        return SUFFIXES

    def read(self, data: bytes) -> np.ndarray:
        """RGB uint8 [H, W, 3] of any size."""
        from palora_core.inputs._decoding import decode_picture

        return decode_picture(data)

    def to_file(self, shown: np.ndarray) -> bytes:
        """A PNG file."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(shown)).save(buffer, "PNG")
        return buffer.getvalue()

    def takes(self, shown: Any) -> bool:
        """Whether it is RGB uint8 [H, W, 3]."""
        return isinstance(shown, np.ndarray) and shown.dtype == np.uint8 and shown.ndim == 3 and shown.shape[-1] == 3

    def used(self, rows: int, columns: int) -> tuple[int, int]:
        """How many (rows, columns) of a picture are used, from its middle: the largest part with the proportions."""
        wanted = self.size[1] / self.size[0]
        return min(rows, max(1, round(columns / wanted))), min(columns, max(1, round(rows * wanted)))

    def lost(self, shown: Any) -> str:
        """What is cut off at the sides."""
        rows, columns = shown.shape[:2]
        parts = [
            f"{100 * (1 - kept / there):.0f} % of its {side}"
            for kept, there, side in zip(self.used(rows, columns), (rows, columns), ("height", "width"))
            if kept < there
        ]
        return f"The middle is used: {' and '.join(parts)} is cut off." if parts else ""

    def middle(self, shown: np.ndarray) -> Tensor:
        """RGB [1, 3, height, width] in [0, 1] from the middle of a picture, resized with antialiasing."""
        pixels = torch.from_numpy(np.ascontiguousarray(shown)).permute(2, 0, 1)[None].float() / 255
        rows, columns = pixels.shape[-2:]
        height, width = self.used(rows, columns)
        top, left = (rows - height) // 2, (columns - width) // 2
        part = pixels[..., top : top + height, left : left + width]
        return F.interpolate(part, self.size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def as_bytes(pixels: Tensor) -> Tensor:
    """Values in [0, 1] as uint8, those beyond cut off."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
