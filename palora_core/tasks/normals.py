"""Surface normals: one direction per pixel."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.objectives import Convention, Metric, Sums, sum_dtype
from palora_core.tasks._tensors import masked_error, single
from palora_core.tasks.base import Task, tasks

_NORMAL_EPSILON = 1e-4
_BINS_PER_DEGREE = 100
ANGLES_AGREE = 1.0  # degrees


@tasks.register("normals")
@dataclass(frozen=True)
class Normals(Task):
    """Surface normals [B, 3, H, W]; a target of length 0 (or NaN) is unknown, both sides are normalised to length 1.

    Angles are computed with atan2 (acos loses half the digits of float32 near 0°) and the median comes from a histogram
    over the whole split with steps of 0.01°, so it is exact to 0.005°.

    Args:
        objective: "l1" is the paper's Σ_channels |prediction - target| per valid pixel, "cosine" is 1 - dot product.
    """

    reading: ClassVar[str] = "directions [3, height, width] of any length; divide by it"
    objective: Literal["l1", "cosine"] = "l1"
    effect_unit: ClassVar[str] = "°"
    thresholds: ClassVar[tuple[float, ...]] = (11.25, 22.5, 30.0)
    averaged_over_batches: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_angle",
        "median_angle",
        *(f"within_{limit:g}" for limit in thresholds),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in ("l1", "cosine"):
            raise UserError(f"objective is {self.objective!r}; expected 'l1' or 'cosine'")

    @property
    def out_channels(self) -> int:
        """3, the components of the vector."""
        return 3

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """Mean and median angle, and the fractions of pixels within 11.25°, 22.5° and 30°."""
        angles = Metric("mean_angle", "mean angle", "°", False), Metric("median_angle", "median angle", "°", False)
        return *angles, *(Metric(f"within_{t:g}", f"within {t:g}°", "%", True) for t in self.thresholds)

    def constant_answer(self, target: Tensor) -> Tensor:
        """The mean direction everywhere, [B, 3, H, W]."""
        mean = torch.nan_to_num(target.float()).sum((0, 2, 3), keepdim=True)
        return mean.expand(len(target), -1, *target.shape[2:])

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """Mean angle between the two."""
        return angles_between(single(first), single(second)).flatten(1).mean(1)

    def agrees(self, first: Tensor, second: Tensor) -> bool:
        """A degree apart at most, on average."""
        return bool(self.effect(first, second).mean() <= ANGLES_AGREE)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        ours, theirs, valid = self._directions(prediction, target)
        if self.objective == "l1":
            error = masked_error(ours, theirs, valid.unsqueeze(1)).sum(1)
        else:
            error = torch.where(valid, 1 - (ours * theirs).sum(1), 0)
        return error.sum(), valid.sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        ours, theirs, valid = self._directions(prediction, target)
        angles = angles_between(ours, theirs)[valid]
        bins = (angles * _BINS_PER_DEGREE).round().long()
        within = torch.stack([(angles < limit).sum() for limit in self.thresholds])
        histogram = torch.bincount(bins, minlength=180 * _BINS_PER_DEGREE + 1)
        return {"angle": angles.sum(dtype=sum_dtype(angles)), "within": within, "histogram": histogram}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        count = sums["count"]
        median = histogram_median(sums["histogram"]) / _BINS_PER_DEGREE
        values = {"mean_angle": sums["angle"] / count, "median_angle": torch.where(count > 0, median, torch.nan)}
        within = sums["within"] / count
        return values | {f"within_{limit:g}": within[i] for i, limit in enumerate(self.thresholds)}

    def _directions(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unit vectors of prediction and target [B, 3, H, W] and the mask of known pixels [B, H, W]."""
        if prediction.ndim != 4 or prediction.shape[1] != 3 or prediction.shape != target.shape:
            raise self._reject(prediction, target, "a prediction and a target [B, 3, H, W]")
        length = _squares(single(target)).sqrt()
        valid = torch.isfinite(length) & (length > 0)
        theirs = torch.where(valid.unsqueeze(1), single(target) / length.unsqueeze(1), 0)
        own = single(prediction)
        ours = own / _squares(own).clamp_min(_NORMAL_EPSILON**2).sqrt().unsqueeze(1)  # no gradient through length 0
        return ours, theirs, valid


def angles_between(first: Tensor, second: Tensor) -> Tensor:
    """Angles in degrees [B, H, W] between vectors [B, 3, H, W]; the angle to a vector of length 0 is 90°."""
    dot = (first * second).sum(1)
    cross = _squares(torch.linalg.cross(first, second, dim=1)).sqrt()
    return torch.where((dot == 0) & (cross == 0), 90.0, torch.rad2deg(torch.atan2(cross, dot)))


def _squares(vectors: Tensor) -> Tensor:
    """Squared lengths [B, H, W] of vectors [B, 3, H, W]; linalg.vector_norm is five times slower over a short axis."""
    return vectors.square().sum(1)


def histogram_median(histogram: Tensor) -> Tensor:
    """Index of the median in a histogram [N] of integers; the mean of the two middle ones for an even number."""
    below = histogram.cumsum(0)
    count = below[-1]
    middle = torch.stack([(count + 1) // 2, count // 2 + 1])
    return torch.searchsorted(below, middle).clamp(max=len(histogram) - 1).to(sum_dtype(histogram)).mean()
