"""Depth: one distance (or inverse distance) per pixel."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.objectives import Convention, Metric, Sums, sum_dtype
from palora_core.tasks._tensors import masked_error, relative_change, single
from palora_core.tasks.base import Task, tasks

SHARE_OF_SCALE = 0.3  # of a picture's mean error of log depth, against the deviations from it
LEAST = 1e-3  # of what a logarithm is taken of


@tasks.register("depth")
@dataclass(frozen=True)
class Depth(Task):
    """Depth (or inverse depth) per pixel: [B, 1, H, W]; 0 or NaN marks unknown.

    Args:
        unit: Unit of the targets.
        inverse: Whether targets are the inverse of a distance, so that large is near.
        objective: "l1" is the paper's |prediction - target| per known pixel; "log" that of logarithms, in which a
            picture's mean error counts 0.3: how large a scene is can hardly be seen in one picture.
    """

    unit: str = ""
    inverse: bool = False
    objective: Literal["l1", "log"] = "l1"
    averaged_over_batches: ClassVar[tuple[str, ...]] = ("loss", "abs_err", "rel_err")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in ("l1", "log"):
            raise UserError(f"objective is {self.objective!r}; expected 'l1' or 'log'")

    @property
    def reading(self) -> str:  # type: ignore[override]
        """Distances, or their inverse."""
        return f"{'inverse depth' if self.inverse else 'depth'} [1, height, width]"

    @property
    def out_channels(self) -> int:
        """1."""
        return 1

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Absolute and relative error."""
        return Metric("abs_err", "absolute error", self.unit, False), Metric("rel_err", "relative error", "", False)

    def constant_answer(self, target: Tensor) -> Tensor:
        """The median of the known depths, [B, 1, H, W]."""
        known = target[torch.isfinite(target) & (target != 0)]
        middle = known.float().median() if known.numel() else target.new_zeros(())
        return middle.expand(len(target), 1, *target.shape[-2:]).contiguous()

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Mean change of depth over the mean depth."""
        return relative_change(first, second)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        error, depth, valid = self._errors(prediction, target)
        if self.objective == "log":
            return _log_error(single(prediction), depth, valid), valid.sum()
        return error.sum(), valid.sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        error, depth, _ = self._errors(prediction, target)
        wide = sum_dtype(error)
        return {"abs_err": error.sum(dtype=wide), "rel_err": (error / depth.abs()).sum(dtype=wide)}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        return {name: sums[name] / sums["count"] for name in ("abs_err", "rel_err")}

    def _errors(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """|prediction - target| (0 where invalid), target (1 where invalid) and the mask, all [B, 1, H, W]."""
        depth = target.unsqueeze(1) if target.ndim == 3 else target
        if prediction.ndim != 4 or prediction.shape[1] != 1 or prediction.shape != depth.shape:
            raise self._reject(prediction, target, "a prediction [B, 1, H, W] and a target of the same size")
        depth, prediction = single(depth), single(prediction)
        valid = torch.isfinite(depth) & (depth != 0)
        return masked_error(prediction, depth, valid), torch.where(valid, depth, 1), valid


def _log_error(prediction: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Sum over known pixels of |e - m| + 0.3·|m|, where e is the error of log depth and m its mean in the picture."""
    error = torch.where(valid, prediction.clamp_min(LEAST).log() - depth.clamp_min(LEAST).log(), 0)
    known = valid.sum((1, 2, 3), keepdim=True)
    mean = error.sum((1, 2, 3), keepdim=True) / known.clamp(min=1)
    return masked_error(error, mean, valid).sum() + SHARE_OF_SCALE * (mean.abs() * known).sum()
