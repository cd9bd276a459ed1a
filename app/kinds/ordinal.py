"""Ordinal regression: the grade, and how likely every other is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from app.kinds.base import views
from app.kinds.classification import ClassificationView


@views.register("ordinal")
class OrdinalView(ClassificationView):
    """A grade from the K − 1 logits of "above grade k"; shown as a class in its order."""

    def values(self, prediction: Tensor) -> dict[str, Any]:
        """What each grade has of "above the one below" beyond "above itself", and the predicted grade."""
        above = prediction.float().sigmoid()
        ends = torch.cat([above.new_ones(1), above, above.new_zeros(1)])
        share = (ends[:-1] - ends[1:]).clamp(min=0)  # logits of a network need not fall
        share = share / share.sum()
        return {"probabilities": [round(p, 4) for p in share.tolist()], "top": int((prediction > 0).sum())}
