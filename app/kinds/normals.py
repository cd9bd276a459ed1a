"""Surface normals: directions as colours."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from app.kinds.base import View, views
from app.pictures import palettes
from app.pictures.drawing import ERRORS, Picture, ramped

ERROR_LIMIT = 60.0  # degrees; beyond, errors look alike


@views.register("normals")
class NormalsView(View):
    """A direction per pixel, [3, H, W]; a target of length 0 or NaN is unknown."""

    pictured: ClassVar[bool] = True

    def draw(self, prediction: Tensor) -> Picture:
        """Unit vectors as RGB: each component from [−1, 1] to [0, 255]; unknown ones are grey."""
        vectors = prediction.float()
        length = _length(vectors)
        known = torch.isfinite(length) & (length > 0)
        unit = torch.where(known, vectors / length.clamp(min=1e-6), 0)
        return Picture(((unit + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy())

    def draw_target(self, target: Tensor) -> Picture:
        """As a prediction."""
        return self.draw(target)

    def draw_error(self, prediction: Tensor, target: Tensor) -> Picture:
        """Colours of the angle between the two."""
        return ramped(_angles(prediction, target), 0.0, ERROR_LIMIT, ERRORS)

    def legend(self) -> dict[str, Any]:
        """What the colours are, and the ends of the error's."""
        error = {"ramp": list(palettes.MAGMA), "range": [0.0, ERROR_LIMIT], "unit": "°"}
        return {"text": "red: x, green: y, blue: z of the unit vector", "error": error}


def _angles(prediction: Tensor, target: Tensor) -> Tensor:
    ours = torch.nn.functional.normalize(prediction.float(), dim=0)
    length = _length(target.float())
    theirs = target.float() / length.clamp(min=1e-6)
    angle = torch.rad2deg(torch.acos((ours * theirs).sum(0).clamp(-1, 1)))
    return torch.where(torch.isfinite(length) & (length > 0), angle, torch.nan)


def _length(vectors: Tensor) -> Tensor:
    """Lengths [H, W] of vectors [3, H, W]; linalg.vector_norm takes five times as long over a short dimension."""
    return vectors.square().sum(0).sqrt()
