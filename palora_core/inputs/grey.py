"""Grey pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.inputs._handover import MIDDLE, PICTURE, Preprocessing
from palora_core.inputs._pictures import Picture, as_bytes
from palora_core.inputs.base import inputs, one_input


@inputs.register("grey")
@dataclass(frozen=True)
class Grey(Picture):
    """A picture of one channel; the network reads [B, 1, H, W] in [0, 1].

    Args:
        squeezed: Squeeze a person's picture to the size instead of cutting its sides off.
        dark: Invert a person's picture whose border is bright: the network knows bright figures on a dark ground.
        marks: Places where a person who draws such a picture puts its figures: left, top, width and height as shares of
            the picture.
    """

    squeezed: bool = False
    dark: bool = False
    marks: tuple[tuple[float, float, float, float], ...] = ()

    def used(self, rows: int, columns: int) -> tuple[int, int]:
        """All of it, if it is squeezed."""
        return (rows, columns) if self.squeezed else super().used(rows, columns)

    def to_input(self, shown: np.ndarray) -> Tensor:
        """The mean of the channels, [1, 1, height, width]."""
        if not self.squeezed:
            return self._inverted(self.middle(shown).mean(1)[0])[None, None]
        grey = self._inverted(torch.from_numpy(shown.astype(np.float32)).mean(-1) / 255)
        return F.interpolate(grey[None, None], self.size, mode="bilinear", antialias=True, align_corners=False)

    def preprocessing(self) -> Preprocessing:
        """Squeezed or from the middle, in one channel, inverted where that is wanted."""
        # As here: what is squeezed is inverted before it is resized, and the middle of a picture after.
        squeezed = 'grey = np.asarray(picture, "f4").mean(-1) / 255'
        planes = '[plane.convert("F").resize((w, h), 2) for plane in middle.split()]'
        middle = (*MIDDLE[:-1], f"grey = np.stack({planes}).mean(0) / 255")
        border = "np.r_[grey[0], grey[-1], grey[:, 0], grey[:, -1]].mean()"
        dark = (f"grey = 1 - grey if {border} > 0.5 else grey",) if self.dark else ()
        resized = 'grey = np.asarray(PIL.Image.fromarray(grey).resize(form["size"][::-1], 2))'
        lines = (squeezed, *dark, resized) if self.squeezed else (*middle, *dark)
        return Preprocessing(
            "png",
            {"size": list(self.size), "channels": "grey", "squeezed": self.squeezed, "dark": self.dark},
            (*PICTURE, *lines, 'inputs = {"input": grey[None, None]}'),
            ("PIL.Image", "PIL.ImageOps"),
            f"{'All' if self.squeezed else 'The middle'} of an opaque picture, the mean of its channels / 255, resized "
            f"to {self.size[0]} × {self.size[1]} pixels (height × width) with bilinear antialiasing"
            + ("; inverted where its border is bright." if self.dark else "."),
        )

    def to_shown(self, x: Any) -> np.ndarray:
        """The channel of an input [1, H, W], three times."""
        return np.repeat(as_bytes(one_input(x, 3)[0]).numpy()[..., None], 3, -1)

    def _inverted(self, grey: Tensor) -> Tensor:
        border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]]).mean()
        return 1 - grey if self.dark and border > 0.5 else grey
