"""Quantile regression: a number with its uncertainty."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.objectives import Convention, Metric, Sums, sum_dtype
from palora_core.tasks._tensors import relative_change, single
from palora_core.tasks.base import Task, tasks


@tasks.register("quantile")
@dataclass(frozen=True)
class Quantile(Task):
    """Q quantiles of one number per sample: pinball loss, mean over quantiles; prediction [B, Q], target [B] or [B, 1].

    NaN marks an unknown target. Koenker, Bassett: Regression Quantiles, Econometrica 1978.

    Args:
        quantiles: In rising order, between 0 and 1.
        unit: Unit of the metrics.
        scale: Factor from the units the network is trained in to ``unit``, for targets that were standardised.
    """

    reading: ClassVar[str] = "quantiles of a number in rising order; times the scale they are in the unit"
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    unit: str = ""
    scale: float = 1.0
    averaged_over_batches: ClassVar[tuple[str, ...]] = ("loss", "mae")

    def __post_init__(self) -> None:
        super().__post_init__()
        rising = all(a < b for a, b in zip(self.quantiles, self.quantiles[1:]))
        if not self.quantiles or not rising or not self.quantiles[0] > 0 or not self.quantiles[-1] < 1:
            raise UserError(f"quantiles are {self.quantiles}; expected rising numbers between 0 and 1")

    @property
    def out_channels(self) -> int:
        """Q."""
        return len(self.quantiles)

    @property
    def middle(self) -> int:
        """Index of the quantile nearest to the median."""
        return min(range(len(self.quantiles)), key=lambda i: abs(self.quantiles[i] - 0.5))

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Error of the median, and how far the share of targets between the outer quantiles is from the wanted one."""
        return (
            Metric("mae", "error of the median", self.unit, False),
            Metric("coverage_gap", "gap of coverage", "%", False),
        )

    def constant_answer(self, target: Tensor) -> Tensor:
        """The quantiles of the known targets, [B, Q]."""
        known = target[torch.isfinite(target)].float()
        wanted = torch.tensor(self.quantiles, device=target.device)
        found = known.quantile(wanted) if known.numel() else torch.zeros_like(wanted)
        return found.expand(len(target), -1).contiguous()

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Change of the quantiles over their size."""
        return relative_change(first, second)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        truth, known = self._known(prediction, target)
        gap = truth[:, None] - single(prediction)
        wanted = torch.tensor(self.quantiles, device=gap.device, dtype=gap.dtype)
        losses = torch.maximum(wanted * gap, (wanted - 1) * gap).mean(1)
        return torch.where(known, losses, 0).sum(), known.sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        truth, known = self._known(prediction, target)
        error = (truth - single(prediction)[:, self.middle]).abs() * self.scale
        inside = (truth >= prediction[:, 0]) & (truth <= prediction[:, -1]) & known
        return {"error": torch.where(known, error, 0).sum(dtype=sum_dtype(error)), "inside": inside.sum()}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        wanted = self.quantiles[-1] - self.quantiles[0]
        gap = (sums["inside"] / sums["count"] - wanted).abs()
        return {"mae": sums["error"] / sums["count"], "coverage_gap": gap}

    def _known(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Targets [B] (0 where unknown), and which are known."""
        if prediction.ndim != 2 or prediction.shape[1] != len(self.quantiles) or target.numel() != len(prediction):
            raise self._reject(prediction, target, f"a prediction [B, {len(self.quantiles)}] and a target [B]")
        truth = single(target.reshape(-1))
        known = torch.isfinite(truth)
        return torch.where(known, truth, 0), known
