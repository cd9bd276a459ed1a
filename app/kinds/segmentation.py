"""Segmentation: classes in colours over the input."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from app.kinds.base import View, class_names, views
from app.pictures import palettes
from app.pictures.drawing import Picture

# correct (clear), wrong, unknown (clear)
_MISTAKES = np.array([(0, 0, 0), palettes.rgb(palettes.WRONG), (0, 0, 0)], dtype=np.uint8)


@views.register("segmentation")
class SegmentationView(View):
    """One class per pixel, from scores [C, H, W]; labels are [H, W] or [1, H, W]."""

    pictured: ClassVar[bool] = True

    @cached_property
    def colours(self) -> list[str]:
        """Of the classes, those that people expect where they have names."""
        names = class_names(self)
        return palettes.colours_of(names) if names else palettes.class_colours(self.task.out_channels)

    @cached_property
    def _palette(self) -> np.ndarray:
        """Colours [C + 1, 3] of the classes and of void; looked up for every frame."""
        return np.array([palettes.rgb(c) for c in self.colours] + [(0, 0, 0)], dtype=np.uint8)

    def draw(self, prediction: Tensor) -> Picture:
        """The best class of every pixel."""
        return self._labels(_classes(prediction))

    def draw_target(self, target: Tensor) -> Picture:
        """The labels; what is not labelled is clear."""
        return self._labels(_flat(target))

    def draw_error(self, prediction: Tensor, target: Tensor) -> Picture:
        """Where the class is wrong."""
        labels = _flat(target)
        wrong = (_classes(prediction) != labels).to(torch.uint8)
        wrong[labels == self.task.ignore_index] = 2
        return Picture(wrong.numpy(), _MISTAKES, clear=(0, 2))

    def legend(self) -> dict[str, Any]:
        """Names and colours of the classes."""
        names = class_names(self) or [f"class {i}" for i in range(self.task.out_channels)]
        return {"classes": names, "colours": self.colours, "wrong": palettes.WRONG, "overlaid": True}

    def _labels(self, labels: Tensor) -> Picture:
        void = self.task.out_channels
        known = (labels >= 0) & (labels < void) & (labels != self.task.ignore_index)
        return Picture(torch.where(known, labels, void).to(torch.uint8).numpy(), self._palette, clear=(void,))


def _classes(scores: Tensor) -> Tensor:
    """The best class [H, W] of scores [C, H, W]; argmax is five times slower over an outer axis."""
    return scores.max(0).indices


def _flat(target: Tensor) -> Tensor:
    return target.squeeze(0) if target.dim() == 3 else target
