"""Regression: one number per sample."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.objectives import Convention, Metric, Sums, sum_dtype
from palora_core.tasks._tensors import masked_error, relative_change, single
from palora_core.tasks.base import Task, tasks


@tasks.register("regression")
@dataclass(frozen=True)
class Regression(Task):
    """One number per sample: prediction [B, 1] or [B], target likewise; NaN marks an unknown target.

    Args:
        objective: "mse", "huber" (δ = 1) or "l1".
        unit: Unit of the metrics.
        scale: Factor from the units the network is trained in to `unit`, for targets that were standardised.
    """

    reading: ClassVar[str] = "a number; times the scale it is in the unit"
    objective: Literal["mse", "huber", "l1"] = "mse"
    unit: str = ""
    scale: float = 1.0
    averaged_over_batches: ClassVar[tuple[str, ...]] = ("loss", "mae", "mse")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in ("mse", "huber", "l1"):
            raise UserError(f"objective is {self.objective!r}; expected 'mse', 'huber' or 'l1'")

    @property
    def out_channels(self) -> int:
        """1."""
        return 1

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Mean absolute and mean squared error."""
        squared = f"{self.unit}²" if self.unit else ""
        return (
            Metric("mae", "mean absolute error", self.unit, False),
            Metric("mse", "mean squared error", squared, False),
        )

    def constant_answer(self, target: Tensor) -> Tensor:
        """The median of the known targets, [B, 1]."""
        known = target[torch.isfinite(target)]
        middle = known.float().median() if known.numel() else target.new_zeros(())
        return middle.expand(len(target), 1).contiguous()

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Change of the number over its size."""
        return relative_change(first.reshape(len(first), -1), second.reshape(len(second), -1))

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        error, valid = self._errors(prediction, target)
        if self.objective == "mse":
            error = error**2
        elif self.objective == "huber":
            error = torch.where(error <= 1, 0.5 * error**2, error - 0.5)
        return error.sum(), valid.sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        error = self._errors(prediction, target)[0]
        error = error.to(sum_dtype(error)) * self.scale
        return {"absolute": error.sum(), "squared": (error**2).sum()}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        return {"mae": sums["absolute"] / sums["count"], "mse": sums["squared"] / sums["count"]}

    def _errors(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """|prediction - target| (0 where unknown) and the mask of known targets, both [B]."""
        columns = prediction.ndim <= 2 and target.ndim <= 2 and prediction.numel() == len(prediction)
        if not columns or target.numel() != prediction.numel():
            raise self._reject(prediction, target, "[B, 1] or [B] for both")
        truth = single(target.reshape(-1))
        valid = torch.isfinite(truth)
        return masked_error(single(prediction.reshape(-1)), truth, valid), valid
