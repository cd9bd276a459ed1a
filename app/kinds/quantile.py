"""Quantile regression: a number and the range around it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from app.kinds.base import View, views


@views.register("quantile")
class QuantileView(View):
    """Quantiles of one number, brought from the scale of training to that of the metrics."""

    def values(self, prediction: Tensor) -> dict[str, Any]:
        """Quantile by quantile."""
        return {"rows": [[name, self._text(v)] for name, v in zip(self._names, prediction.tolist())]}

    def target_values(self, target: Tensor) -> dict[str, Any]:
        """The number, beside the quantile that is nearest to the median."""
        number = float(target.reshape(-1)[0])
        told = self._text(number) if number == number else "?"
        return {"rows": [["", told if i == self.task.middle else ""] for i in range(len(self.task.quantiles))]}

    def page(self) -> dict[str, Any]:
        """The legend, the quantiles and the scale."""
        return {**self.legend(), "names": self._names, "scale": self.task.scale}

    @property
    def _names(self) -> list[str]:
        return [f"{100 * q:g} %" for q in self.task.quantiles]

    def cell(self, values: Any) -> str | None:
        """The quantiles, or the one true number."""
        texts = [text for _, text in values["rows"] if text] if values else []
        return " … ".join(texts) or None

    def _text(self, value: float) -> str:
        return f"{value * self.task.scale:.4g} {self.unit}".rstrip()
