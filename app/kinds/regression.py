"""Regression: a number in its unit."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from app.kinds.base import View, numbers, views


@views.register("regression")
class RegressionView(View):
    """One number per item, brought from the scale of training to that of the metrics."""

    def values(self, prediction: Tensor) -> dict[str, Any]:
        """The number."""
        return numbers(prediction, self.task.scale)

    def page(self) -> dict[str, Any]:
        """The legend and the scale."""
        return {**self.legend(), "scale": self.task.scale}
