"""Multi-label classification: how sure every label is."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from torch import Tensor

from app.kinds.base import Values, View, class_names, views


@views.register("multilabel")
class MultiLabelView(View):
    """Labels that hold, from logits [L]."""

    @cached_property
    def classes(self) -> list[str]:
        """Names of the labels, or numbers."""
        return class_names(self) or [str(i) for i in range(self.task.out_channels)]

    def values(self, prediction: Tensor) -> dict[str, Any]:
        """Label by label whether it holds and how sure that is."""
        sure = prediction.float().sigmoid().tolist()
        told = [[name, f"{'yes' if p > 0.5 else 'no'} ({100 * p:.0f} %)"] for name, p in zip(self.classes, sure)]
        return {"rows": told, "holds": [name for name, p in zip(self.classes, sure) if p > 0.5]}

    def target_values(self, target: Tensor) -> dict[str, Any]:
        """Label by label whether it holds, "?" where that is not known."""
        labels = [int(label) for label in target.tolist()]
        words = ["?" if label == self.task.ignore_index else "yes" if label else "no" for label in labels]
        told = [[name, word] for name, word in zip(self.classes, words)]
        return {"rows": told, "holds": [name for name, word in told if word == "yes"]}

    def page(self) -> dict[str, Any]:
        """The legend and the labels."""
        return {**self.legend(), "names": self.classes}

    def cell(self, values: Values | None) -> str | None:
        """The labels that hold."""
        return None if values is None else ", ".join(values["holds"]) or "none"
