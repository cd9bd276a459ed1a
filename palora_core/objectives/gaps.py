"""Fairness gaps as objectives: how differently two groups fare under the decisions of one prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from palora_core import batches
from palora_core.batches import Batch
from palora_core.errors import UserError
from palora_core.objectives import Convention, Metric, Objective, Sums, sum_dtype
from palora_core.objectives.decisions import margin
from palora_core.ranges import NotNegative, Range, check_ranges
from palora_core.tasks import Task


@dataclass(frozen=True)
class RateGap(Objective):
    """The difference between two groups' rates of "yes", |E[ŷ | group] − E[ŷ | not group]|.

    Over all rows it is the demographic-parity gap (Calders et al., 2009); over the rows whose true label is "yes" the
    equal-opportunity gap (Hardt, Price, Srebro, NeurIPS 2016). Trained is its differentiable form, with the probability
    σ(``sharpness`` · margin) for the decision ŷ = [margin > 0], of the groups' rows in the batch; a batch that lacks
    one of the groups says nothing of it. Over a split everything is made of sums over all of its rows: the loss is the
    gap of the probabilities, the metric ``gap`` that of the decisions, in percentage points.

    The gap of a batch is noisy, and |gap| rewards whatever makes the noise small, fewer decisions above all. Within
    about ``width`` of 0 it therefore counts quadratically, as √(gap² + width²) − width.

    One answer for everybody has no gap. So that an objective alone does not end there, ``floor`` times the
    prediction's own loss is a part of this one.

    Args:
        prediction: The task with the logits [B, 2] for no and yes.
        group: Which target holds the group, 0 or 1 for each row.
        positives: Whether only rows count whose true label is "yes".
        sharpness: 1 takes the predicted probabilities; more comes nearer to decisions.
        width: 0 for the absolute value.
        floor: Weight of the prediction's loss; 0 for the gap alone.
        groups: What people call the group and the others.
    """

    prediction: Task
    group: str
    positives: bool = False
    sharpness: Annotated[float, Range(0, 1000, open_low=True)] = 1.0
    width: NotNegative = 0.0
    floor: NotNegative = 0.0
    groups: tuple[str, str] = ("group", "others")
    kind: ClassVar[str] = "gap"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self)

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """The gap of decisions."""
        return (Metric("gap", "gap", "points", False),)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The gap of the probabilities in a batch, and the floor."""
        members = self._members(batch)
        counts = members.sum(1)
        means = (members * self._probability(outputs)).sum(1) / counts.clamp(min=1)
        return self._size(means[0] - means[1]) * (counts > 0).all() + self.floor * self.prediction.loss(outputs, batch)

    def sums(self, outputs: Any, batch: Batch) -> Sums:
        """Per group [2] its rows, and sums of probabilities and of decisions; the sums of the prediction's loss."""
        with torch.no_grad():
            ahead, probability = self._margin(outputs), self._probability(outputs)
            wide = sum_dtype(ahead)
            members = self._members(batch).to(wide)
            total, number = self.prediction.terms(outputs, batch)
            return {
                "count": members.sum(1),
                "probability": members @ probability.to(wide),
                "decisions": members @ (ahead > 0).to(wide),
                "prediction": total.to(wide),
                "predicted": number,
            }

    def summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        """The gaps; NaN where a group has no row."""
        soft, hard = (sums[name] / sums["count"] for name in ("probability", "decisions"))
        floor = self.floor * sums["prediction"] / sums["predicted"]
        return {"loss": self._size(soft[0] - soft[1]) + floor, "gap": 100 * (hard[0] - hard[1]).abs()}

    def rates(self, outputs: Any, batch: Batch) -> dict[str, tuple[float, int]]:
        """By group how often the answer is "yes", NaN without a row, and of how many rows that count."""
        sums = self.sums(outputs, batch)
        rates = (sums["decisions"] / sums["count"]).tolist()
        return {name: (rate, int(n)) for name, rate, n in zip(self.groups, rates, sums["count"].tolist())}

    def answers(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Of every row that counts, [n]: whether it is in the ``group``, the ``truth``, the probability of "yes"."""
        group, truth = self._group(batch).bool(), self.prediction.target_of(batch).reshape(-1) == 1
        with torch.no_grad():
            probability = self._margin(outputs).sigmoid()
        counted = truth if self.positives else torch.ones_like(truth)
        return {"group": group[counted], "truth": truth[counted], "probability": probability[counted]}

    def check(self, batch: Batch) -> None:
        """Refuse groups on the CPU that are neither 0 nor 1."""
        group = self._group(batch)
        if group.is_cpu and group.dtype != torch.bool and not ((group == 0) | (group == 1)).all():
            raise UserError(
                f"The objective {self.name!r} reads the group {self.group!r}: expected 0 or 1 for each row."
            )

    def _size(self, gap: Tensor) -> Tensor:
        return (gap.square() + self.width**2).sqrt() - self.width if self.width else gap.abs()

    def _margin(self, outputs: Any) -> Tensor:
        return margin(self.prediction.prediction_of(outputs))

    def _probability(self, outputs: Any) -> Tensor:
        return (self.sharpness * self._margin(outputs)).sigmoid()

    def _members(self, batch: Batch) -> Tensor:
        """Which rows are in the group, and which are not, of those that count: float32 [2, B]."""
        group = self._group(batch).bool()
        counted = self.prediction.target_of(batch).reshape(-1) == 1 if self.positives else torch.ones_like(group)
        return torch.stack([group & counted, ~group & counted]).float()

    def _group(self, batch: Batch) -> Tensor:
        found = batch[1].get(self.group) if isinstance(batch[1], Mapping) else None
        if not isinstance(found, Tensor):
            raise UserError(
                f"The objective {self.name!r} reads the target {self.group!r} for the group, found "
                f"{batches.describe(batch[1])}; name the one to read."
            )
        return found.reshape(-1)
