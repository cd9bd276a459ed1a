"""Ordinal regression: one of several grades in an order."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from palora_core.objectives import Convention, Metric, Sums
from palora_core.tasks._classes import ClassTask
from palora_core.tasks._tensors import single
from palora_core.tasks.base import VALUES_AGREE, tasks


@tasks.register("ordinal")
@dataclass(frozen=True)
class Ordinal(ClassTask):
    """A grade from 0 to K − 1: binary cross-entropy on the K − 1 logits [B, K − 1] of "above grade k", grades [B].

    The predicted grade is the number of questions answered with yes (Cao, Mirjalili, Raschka: Rank consistent ordinal
    regression, 2020; Frank, Hall: A simple approach to ordinal classification, 2001).

    Args:
        num_classes: Number of grades K.
        ignore_index: Grade of samples that count nowhere.
        classes: Names of the grades, where they have any.
    """

    reading: ClassVar[str] = "logits [grades − 1] of being above each grade; the grade is how many are above 0"

    @property
    def out_channels(self) -> int:
        """K − 1, one logit per step."""
        return self.num_classes - 1

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Mean error in grades, share of right ones, and Cohen's kappa with quadratic weights."""
        return (
            Metric("mae", "mean error", "grades", False),
            Metric("accuracy", "accuracy", "%", True),
            Metric("kappa", "quadratic kappa", "", True),
        )

    def constant_answer(self, target: Tensor) -> Tensor:
        """Logits [B, K − 1] of how often grades are above each; the grade is the median."""
        known = target.reshape(-1)[target.reshape(-1) != self.ignore_index]
        above = (known[:, None] > torch.arange(self.num_classes - 1, device=target.device)).float().mean(0)
        return torch.logit(torch.nan_to_num(above, nan=0.5), eps=1e-6).expand(len(target), -1).contiguous()

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Change of the grade over the largest there can be."""
        return (self.grades(first) - self.grades(second)).abs() / max(1, self.num_classes - 1)

    def agrees(self, first: Tensor, second: Tensor) -> bool:
        """Probabilities within a hundredth."""
        return bool((first.sigmoid() - second.sigmoid()).abs().max() <= VALUES_AGREE)

    def grades(self, prediction: Tensor) -> Tensor:
        """The predicted grades [B] of logits [B, K − 1]."""
        return (prediction > 0).sum(1)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        grades, known = self._known(prediction, target)
        above = (grades[:, None] > torch.arange(self.num_classes - 1, device=grades.device)).to(
            single(prediction).dtype
        )
        losses = F.binary_cross_entropy_with_logits(single(prediction), above, reduction="none").sum(1)
        return torch.where(known, losses, 0).sum(), known.sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        grades, known = self._known(prediction, target)
        pairs = (grades * self.num_classes + self.grades(prediction))[known]
        return {"pairs": torch.bincount(pairs.long(), minlength=self.num_classes**2)}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        pairs = sums["pairs"].reshape(self.num_classes, self.num_classes)
        scale = torch.arange(self.num_classes, device=pairs.device, dtype=pairs.dtype)
        apart = scale[:, None] - scale
        expected = pairs.sum(1)[:, None] * pairs.sum(0) / pairs.sum()
        most = (expected * apart**2).sum()
        kappa = torch.where(most > 0, 1 - (pairs * apart**2).sum() / most, 0.0)
        return {
            "mae": (pairs * apart.abs()).sum() / sums["count"],
            "accuracy": pairs.diagonal().sum() / sums["count"],
            "kappa": torch.where(sums["count"] > 0, kappa, torch.nan),
        }

    def _known(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Grades [B] (0 where unknown), and which are known."""
        steps = self.num_classes - 1
        if prediction.ndim != 2 or prediction.shape[1] != steps or target.numel() != len(prediction):
            raise self._reject(prediction, target, f"a prediction [B, {steps}] and a target [B]")
        grades = target.reshape(-1)
        known = grades != self.ignore_index
        return torch.where(known, grades, 0), known
