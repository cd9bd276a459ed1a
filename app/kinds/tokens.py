"""Token classification: the class of every token."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from torch import Tensor

from app.kinds.base import Values, View, class_names, views

MOST_TOKENS = 60  # that are told of


@views.register("tokens")
class TokensView(View):
    """One class per token, from logits [L, C]."""

    @cached_property
    def classes(self) -> list[str]:
        """Their names, or numbers."""
        return class_names(self) or [str(i) for i in range(self.task.out_channels)]

    def values(self, prediction: Tensor) -> dict[str, Any]:
        """Token by token its class and how likely that is."""
        sure, best = prediction.float().softmax(-1).max(-1)
        pairs = list(zip(best.tolist(), sure.tolist()))[:MOST_TOKENS]
        return {"rows": [[f"{i + 1}", f"{self.classes[c]} ({100 * p:.0f} %)"] for i, (c, p) in enumerate(pairs)]}

    def target_values(self, target: Tensor) -> dict[str, Any]:
        """Token by token its class, "" where it counts nowhere."""
        labels = target.tolist()[:MOST_TOKENS]
        names = ["" if label == self.task.ignore_index else self.classes[label] for label in labels]
        return {"rows": [[f"{i + 1}", name] for i, name in enumerate(names)]}

    def page(self) -> dict[str, Any]:
        """The legend, the classes, and how many tokens are told of."""
        return {**self.legend(), "names": self.classes, "most": MOST_TOKENS}

    def cell(self, values: Values | None) -> str | None:
        """The classes one after the other."""
        return " ".join(text.partition(" (")[0] for _, text in values["rows"] if text) if values else None
