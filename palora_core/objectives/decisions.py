"""Metrics of a yes-or-no prediction that need more than sums over a split: ranking and calibration."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.objectives import Measure, Metric, sum_dtype


def positive_probability(logits: Tensor) -> Tensor:
    """P(yes) [B] of logits [B, 2].

    Raises:
        UserError: another shape.
    """
    return margin(logits).sigmoid()


def margin(logits: Tensor) -> Tensor:
    """How far "yes" is ahead of "no", [B] of logits [B, 2] in at least single precision; the decision is its sign.

    Raises:
        UserError: another shape.
    """
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise UserError(f"A decision is made of logits [B, 2] for no and yes, found {list(logits.shape)}.")
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return wide[:, 1] - wide[:, 0]


class AUROC:
    """Area under the ROC curve, exact: how often a "yes" is ranked above a "no", ties counting half.

    It is Mann and Whitney's U over the number of pairs; NaN without both kinds.
    """

    higher_is_better: ClassVar[bool] = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._margins: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add logits [B, 2] and labels [B]; rows with another label than 0 or 1 do not count."""
        known = (labels == 0) | (labels == 1)
        self._margins.append(margin(logits)[known])
        self._labels.append(labels[known] == 1)

    def compute(self) -> float:
        """In [0, 1]."""
        margins, positive = torch.cat(self._margins), torch.cat(self._labels)
        _, place, ties = margins.unique(return_inverse=True, return_counts=True)
        ties = ties.to(sum_dtype(margins))
        ranks = ties.cumsum(0) - (ties - 1) / 2  # from 1; the mean of those that are tied
        yes = positive.sum().to(ties.dtype)
        no = len(positive) - yes
        return float((ranks[place][positive].sum() - yes * (yes + 1) / 2) / (yes * no))


class CalibrationError:
    """How far probabilities of "yes" are from how often it is one: mean over ``bins`` of equal width, by their items.

    Args:
        bins: of [0, 1].
    """

    higher_is_better: ClassVar[bool] = False

    def __init__(self, bins: int = 15) -> None:
        self.bins = bins
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._errors: Tensor | None = None  # [bins]: Σ (y − p)
        self._items = 0

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add logits [B, 2] and labels [B]; rows with another label than 0 or 1 do not count."""
        known = (labels == 0) | (labels == 1)
        p, y = positive_probability(logits)[known], labels[known]
        place = (p * self.bins).long().clamp(max=self.bins - 1)
        gap = y.to(sum_dtype(p)) - p.to(sum_dtype(p))
        errors = torch.zeros(self.bins, dtype=gap.dtype, device=gap.device).index_add_(0, place, gap)
        self._errors = errors if self._errors is None else self._errors + errors
        self._items += len(p)

    def compute(self) -> float:
        """In [0, 1]; NaN without an item."""
        if self._errors is None or not self._items:
            return float("nan")
        return float(self._errors.abs().sum() / self._items)


def decision_measures() -> tuple[Measure, ...]:
    """AUROC and calibration error, for a :class:`palora_core.tasks.Classification` of two classes."""
    return (
        Measure(Metric("auroc", "AUROC", "%", True), AUROC()),
        Measure(Metric("calibration_error", "calibration error", "%", False), CalibrationError()),
    )
