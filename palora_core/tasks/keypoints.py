"""Key points: named places in a picture."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.objectives import Convention, Metric, Sums, sum_dtype
from palora_core.tasks._tensors import single
from palora_core.tasks.base import Task, check_classes, tasks


@tasks.register("keypoints")
@dataclass(frozen=True)
class KeyPoints(Task):
    """K places (x, y) as shares of width and height: L1; prediction [B, 2K] or [B, K, 2], target [B, K, 2].

    A point with a coordinate that is NaN is unknown. The loss is the mean over known points of |Δx| + |Δy|.

    Args:
        num_points: Number of points K.
        classes: Names of the points, where they have any.
        near: Distance below which a point counts as found.
    """

    reading: ClassVar[str] = "places [2 × points] (x, y of one after another) as shares of width and height"
    num_points: int
    classes: tuple[str, ...] = ()
    near: float = 0.05
    averaged_over_batches: ClassVar[tuple[str, ...]] = ("loss", "distance", "found")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_classes(self, self.classes, self.num_points)

    @property
    def out_channels(self) -> int:
        """2K."""
        return 2 * self.num_points

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Mean distance in shares of the sides, and how many points are near (PCK)."""
        return (
            Metric("distance", "mean distance", "%", False),
            Metric("found", f"within {100 * self.near:g} %", "%", True),
        )

    def points(self, values: Tensor) -> Tensor:
        """[B, K, 2] of a prediction or target."""
        return single(values).reshape(len(values), -1, 2)

    def constant_answer(self, target: Tensor) -> Tensor:
        """The median of every coordinate, [B, K, 2]; the middle of the picture for a point that is nowhere known."""
        middle = torch.nanmedian(self.points(target), dim=0).values
        return torch.nan_to_num(middle, nan=0.5).expand(len(target), -1, -1).contiguous()

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Mean distance by which the points move, in shares of the sides."""
        return (self.points(first) - self.points(second)).square().sum(-1).sqrt().mean(1)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        gap, known = self._gaps(prediction, target)
        return gap.abs().sum(), known.sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        gap, known = self._gaps(prediction, target)
        distance = gap.square().sum(-1).sqrt()
        found = (distance <= self.near) & known
        return {"distance": distance.sum(dtype=sum_dtype(distance)), "found": found.sum()}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        return {name: sums[name] / sums["count"] for name in ("distance", "found")}

    def _gaps(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction − target [B, K, 2] (0 where unknown), and which points are known [B, K]."""
        forms = (self.num_points, 2), (self.out_channels,)
        fit = all(tuple(values.shape[1:]) in forms for values in (prediction, target))
        if not fit or len(target) != len(prediction):
            wanted = f"a prediction [B, {self.out_channels}] and a target [B, {self.num_points}, 2]"
            raise self._reject(prediction, target, wanted)
        truth = self.points(target)
        known = torch.isfinite(truth).all(-1)
        return torch.where(known[..., None], self.points(prediction) - truth, 0), known
