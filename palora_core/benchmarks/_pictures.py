"""A person's picture in the form that a network takes: its middle, resized with antialiasing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def largest(rows: int, columns: int, shape: tuple[int, int]) -> tuple[int, int]:
    """The largest (rows, columns) of a picture with the proportions of ``shape`` (height, width)."""
    wanted = shape[1] / shape[0]
    return min(rows, max(1, round(columns / wanted))), min(columns, max(1, round(rows * wanted)))


def middle(image: np.ndarray, shape: tuple[int, int]) -> Tensor:
    """RGB [1, 3, height, width] in [0, 1] from the middle of a uint8 picture [H, W, 3] of any size."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    rows, columns = pixels.shape[-2:]
    height, width = largest(rows, columns, shape)
    top, left = (rows - height) // 2, (columns - width) // 2
    part = pixels[..., top : top + height, left : left + width]
    return F.interpolate(part, shape, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
