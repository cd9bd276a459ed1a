"""Depth: colours that are bright where it is near."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from app.kinds.base import View, views
from app.pictures import palettes
from app.pictures.drawing import ERRORS, Picture, ramped, with_unknown

# Errors at and beyond this share of the range look alike.
ERROR_SHARE = 0.25
# Bright where it is near, whether depth is measured as distance or as its inverse.
DISTANCE, INVERSE = palettes.VIRIDIS[::-1], palettes.VIRIDIS
_DISTANCE, _INVERSE = with_unknown(DISTANCE), with_unknown(INVERSE)


@views.register("depth")
class DepthView(View):
    """Depth per pixel, [1, H, W] or, as a target, [H, W] too; 0 and NaN are unknown."""

    pictured: ClassVar[bool] = True

    @cached_property
    def extent(self) -> tuple[float, float]:
        """The ends of the colours: 1st to 99th percentile of the samples' ground truth."""
        targets = [target.float().flatten() for target in self._targets()]
        known = torch.cat(targets).numpy() if targets else np.zeros(0, np.float32)
        known = known[np.isfinite(known) & (known != 0)]
        if not known.size:
            return 0.0, 1.0
        low, high = (float(end) for end in np.percentile(known, [1, 99]))
        return low, high if high > low else low + 1

    def draw(self, prediction: Tensor) -> Picture:
        """Colours of the predicted depth."""
        return self._coloured(prediction[0])

    def draw_target(self, target: Tensor) -> Picture:
        """Colours of the depth that is known."""
        return self._coloured(_known(target))

    def draw_error(self, prediction: Tensor, target: Tensor) -> Picture:
        """Colours of the difference."""
        return ramped((prediction[0].float() - _known(target)).abs(), 0.0, self._most(), ERRORS)

    def legend(self) -> dict[str, Any]:
        """The ends of the colours."""
        low, high = self.extent
        return {
            "ramp": list(INVERSE if self.task.inverse else DISTANCE),
            "range": [low, high],
            "ends": ["far", "near"] if self.task.inverse else ["near", "far"],
            "unit": self.unit,
            "error": {"ramp": list(palettes.MAGMA), "range": [0.0, self._most()], "unit": self.unit},
        }

    def _coloured(self, depth: Tensor) -> Picture:
        return ramped(depth, *self.extent, _INVERSE if self.task.inverse else _DISTANCE)

    def _most(self) -> float:
        low, high = self.extent
        return ERROR_SHARE * (high - low)


def _known(target: Tensor) -> Tensor:
    """Depth [H, W] from [H, W] or [1, H, W], NaN where it is unknown."""
    depth = target.reshape(target.shape[-2:]).float()
    return torch.where(torch.isfinite(depth) & (depth != 0), depth, torch.nan)
