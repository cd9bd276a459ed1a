"""Colour pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core.inputs._handover import MIDDLE, PICTURE, Preprocessing
from palora_core.inputs._pictures import Picture, as_bytes
from palora_core.inputs.base import inputs, one_input


@inputs.register("rgb")
@dataclass(frozen=True)
class RGB(Picture):
    """A colour picture; the network reads [B, 3, H, W], (value − mean) / deviation of values in [0, 1].

    Args:
        mean: Per channel; 0 if None.
        deviation: Per channel; 1 if None.
    """

    mean: tuple[float, float, float] | None = None
    deviation: tuple[float, float, float] | None = None

    def scaled(self, pictures: Tensor) -> Tensor:
        """Pictures [..., 3, H, W] in [0, 1] → as the network reads them."""
        moved = pictures if self.mean is None else pictures - _channels(self.mean, pictures)
        return moved if self.deviation is None else moved / _channels(self.deviation, pictures)

    def restored(self, x: Tensor) -> Tensor:
        """The reverse of :meth:`scaled`."""
        wide = x if self.deviation is None else x * _channels(self.deviation, x)
        return wide if self.mean is None else wide + _channels(self.mean, x)

    def to_input(self, shown: np.ndarray) -> Tensor:
        """The middle of a picture, [1, 3, height, width]."""
        return self.scaled(self.middle(shown))

    def preprocessing(self) -> Preprocessing:
        """Middle, size, mean and deviation."""
        mean, deviation = self.mean or (0.0,) * 3, self.deviation or (1.0,) * 3
        scaled = '((np.stack(planes, -1) / 255 - form["mean"]) / form["deviation"]).transpose(2, 0, 1)[None]'
        return Preprocessing(
            "png",
            {"size": list(self.size), "channels": "RGB", "mean": list(mean), "deviation": list(deviation)},
            (*PICTURE, *MIDDLE, f'inputs = {{"input": {scaled}.astype("f4")}}'),
            ("PIL.Image", "PIL.ImageOps"),
            f"The middle of an opaque picture, resized to {self.size[0]} × {self.size[1]} pixels (height × width) with "
            "bilinear antialiasing; channels R, G, B; (value / 255 − mean) / deviation.",
        )

    def to_shown(self, x: Any) -> np.ndarray:
        """RGB [H, W, 3] of an input [3, H, W]."""
        return as_bytes(self.restored(one_input(x, 3))).permute(1, 2, 0).numpy()


def _channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(3, 1, 1)
