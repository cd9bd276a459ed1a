"""Key points: coloured discs over the input."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from app.kinds.base import View, class_names, views
from app.pictures import palettes
from app.pictures.drawing import Picture

SIDE, RADIUS = 128, 0.025  # pixels of the drawing, and of a disc in shares of the side
_GRID = (np.arange(SIDE) + 0.5) / SIDE


@views.register("keypoints")
class KeyPointsView(View):
    """K places [2K] or [K, 2], as shares of width and height, drawn over the input; NaN is unknown."""

    pictured: ClassVar[bool] = True

    @cached_property
    def colours(self) -> list[str]:
        """Of the points."""
        return palettes.class_colours(self.task.num_points)

    @cached_property
    def _palette(self) -> np.ndarray:
        return np.array([palettes.rgb(c) for c in [*self.colours, palettes.WRONG]] + [(0, 0, 0)], dtype=np.uint8)

    def draw(self, prediction: Tensor) -> Picture:
        """A disc per point; points outside the picture are not seen."""
        return self._discs(prediction, range(self.task.num_points))

    def draw_target(self, target: Tensor) -> Picture:
        """A disc per known point."""
        return self.draw(target)

    def draw_error(self, prediction: Tensor, target: Tensor) -> Picture:
        """The predicted points that are not near the true ones."""
        gap = self._points(prediction) - self._points(target)
        far = gap.square().sum(-1).sqrt() > self.task.near  # NaN is not
        return self._discs(prediction, [self.task.num_points if wrong else None for wrong in far.tolist()])

    def legend(self) -> dict[str, Any]:
        """Names and colours of the points."""
        names = class_names(self) or [f"point {i + 1}" for i in range(self.task.num_points)]
        return {"classes": names, "colours": self.colours, "wrong": palettes.WRONG, "overlaid": True}

    def page(self) -> dict[str, Any]:
        """The legend, and how discs are drawn."""
        return {**self.legend(), "side": SIDE, "radius": RADIUS}

    def _points(self, values: Tensor) -> Tensor:
        return values.float().reshape(-1, 2)

    def _discs(self, values: Tensor, colours: Any) -> Picture:
        clear = self.task.num_points + 1
        pixels = np.full((SIDE, SIDE), clear, np.uint8)
        for (x, y), colour in zip(torch.nan_to_num(self._points(values), nan=-1.0).tolist(), colours):
            if colour is not None:
                pixels[(_GRID[None] - x) ** 2 + (_GRID[:, None] - y) ** 2 <= RADIUS**2] = colour
        return Picture(pixels, self._palette, clear=(clear,))
