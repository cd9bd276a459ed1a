"""Tasks: losses and metrics of segmentation, depth, surface normals, classification and regression.

A `Task` says how a prediction is scored and has no parameters or state of its own. Everything a metric needs is a sum
over elements of the split (`Task.sums`), so accumulators of several machines are merged by adding their tensors.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from palora_core.errors import UserError

Convention = Literal["exact", "published"]
Sums = dict[str, Tensor]

_NORMAL_EPSILON = 1e-4
_BINS_PER_DEGREE = 100


@dataclass(frozen=True)
class Metric:
    """What a number means.

    Args:
        name: Key in tables and files.
        label: Short text for axes and columns.
        unit: Unit of the value; "%" says that the value is a fraction in [0, 1] to be shown times 100.
        higher_is_better: Direction of improvement.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool

    def format(self, value: float) -> str:
        """The value with its unit, for people: '95.5 %', '12.31 °', '0.0141'."""
        if self.unit == "%":
            return f"{100 * value:.1f} %"
        return f"{value:.4g} {self.unit}".rstrip()


LOSS = Metric("loss", "loss", "", False)


@dataclass(frozen=True)
class Task:
    """One objective of a benchmark.

    Subclasses define `out_channels`, `metrics` and the hooks `_terms` (the loss, as a sum and a number of elements),
    `_measure` (further sums over a batch) and `_summarise` (metrics from sums).

    Args:
        name: Name of the task, as in the tables of its benchmark.
    """

    name: str
    kind: ClassVar[str] = ""
    # Metrics that the paper's code averages over batches, whatever their size, instead of over elements.
    averaged_over_batches: ClassVar[tuple[str, ...]] = ("loss",)

    @property
    def out_channels(self) -> int:
        """Channels (or features) the network's head must put out."""
        raise NotImplementedError

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that `Accumulator.compute` returns besides the loss."""
        raise NotImplementedError

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the loss over the valid elements, and their number: two scalars."""
        raise NotImplementedError

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        """Further sums over the batch that the metrics are made of."""
        raise NotImplementedError

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        """Metrics as scalars from sums over any number of batches; NaN without a valid element."""
        raise NotImplementedError

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The training loss as a sum over the valid elements, with its graph, and their number."""
        return self._terms(prediction, target)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The training loss: mean over the valid elements of the batch, and 0 (with a gradient of 0) without any."""
        total, count = self._terms(prediction, target)
        return total / count.clamp(min=1)

    def sums(self, prediction: Tensor, target: Tensor) -> Sums:
        """All sums over a batch, outside the graph."""
        with torch.no_grad():
            total, count = self._terms(prediction, target)
            return {"loss": total.to(_wide(total)), "count": count, **self._measure(prediction, target)}

    def accumulator(self, convention: Convention = "exact") -> "Accumulator":
        """A new accumulator over a split.

        Args:
            convention: "exact" averages over all valid elements of the split. "published" follows the paper's code,
                for comparing with its tables: losses, depth errors and normal angles are means over batches, and
                classes that occur nowhere count as an IoU of 0.
        """
        return Accumulator(self, convention)

    def _reject(self, prediction: Tensor, target: Tensor, wanted: str) -> UserError:
        found = f"a prediction {list(prediction.shape)} and a target {list(target.shape)}"
        return UserError(f"task {self.name!r} ({self.kind}) got {found}; expected {wanted}")


class Accumulator:
    """Adds up a split batch by batch.

    `state` holds plain sums; to combine processes, add each of its tensors (all-reduce) before `compute`.
    """

    def __init__(self, task: Task, convention: Convention = "exact") -> None:
        if convention not in ("exact", "published"):
            raise UserError(f"convention is {convention!r}; expected 'exact' or 'published'")
        self.task = task
        self.convention: Convention = convention
        self.state: Sums = {}

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch; nothing is copied from the device."""
        with torch.no_grad():
            sums = self.task.sums(prediction, target)
            if self.convention == "published":
                means = _with_loss(self.task, sums, self.convention)
                for name in self.task.averaged_over_batches:
                    valid = torch.isfinite(means[name])
                    sums[f"batch/{name}"] = torch.where(valid, means[name], 0)
                    sums[f"batches/{name}"] = valid.long()
            for name, value in sums.items():
                self.state[name] = self.state[name].to(value.device) + value if name in self.state else value

    def merge(self, other: "Accumulator") -> None:
        """Add what another accumulator of the same task and convention has seen."""
        for name, value in other.state.items():
            self.state[name] = self.state[name] + value.to(self.state[name].device) if name in self.state else value

    def compute(self) -> dict[str, float]:
        """The metrics of the task and its "loss"; NaN where the split had no valid element.

        Raises:
            UserError: If no batch was added.
        """
        if not self.state:
            raise UserError(f"task {self.task.name!r} has seen no batch; call update at least once before compute")
        values = _with_loss(self.task, self.state, self.convention)
        if self.convention == "published":
            for name in self.task.averaged_over_batches:
                values[name] = self.state[f"batch/{name}"] / self.state[f"batches/{name}"]
        return {name: float(value) for name, value in values.items()}


@dataclass(frozen=True)
class Segmentation(Task):
    """One class per pixel: cross-entropy on logits [B, C, H, W], labels [B, H, W] or [B, 1, H, W].

    Args:
        num_classes: Number of classes C.
        ignore_index: Label of pixels that count nowhere.
    """

    num_classes: int
    ignore_index: int = -1
    kind: ClassVar[str] = "segmentation"

    @property
    def out_channels(self) -> int:
        """C, one logit per class."""
        return self.num_classes

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean intersection over union and pixel accuracy."""
        return Metric("miou", "mIoU", "%", True), Metric("pixel_accuracy", "pixel accuracy", "%", True)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        labels = self._labels(prediction, target)
        return cross_entropy_terms(prediction, labels, self.ignore_index)

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        labels = self._labels(prediction, target)
        predicted = prediction.max(1).indices  # the same as argmax, five times faster along an inner dimension
        return {"confusion": confusion_matrix(predicted, labels, self.num_classes, self.ignore_index)}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        confusion = sums["confusion"]
        absent: Literal["skip", "zero"] = "zero" if convention == "published" else "skip"
        return {"miou": mean_iou(confusion, absent), "pixel_accuracy": confusion.diagonal().sum() / confusion.sum()}

    def _labels(self, prediction: Tensor, target: Tensor) -> Tensor:
        labels = target.squeeze(1) if target.ndim == 4 and target.shape[1] == 1 else target
        size = (labels.shape[0], self.num_classes, *labels.shape[1:])
        if prediction.ndim != 4 or tuple(prediction.shape) != size:
            raise self._reject(prediction, target, f"logits [B, {self.num_classes}, H, W] and labels [B, H, W]")
        return labels.long()


@dataclass(frozen=True)
class Depth(Task):
    """Depth (or inverse depth) per pixel, L1 where the target is known: [B, 1, H, W]; 0 or NaN marks unknown."""

    kind: ClassVar[str] = "depth"
    averaged_over_batches: ClassVar[tuple[str, ...]] = ("loss", "abs_err", "rel_err")

    @property
    def out_channels(self) -> int:
        """1."""
        return 1

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Absolute and relative error."""
        return Metric("abs_err", "absolute error", "", False), Metric("rel_err", "relative error", "", False)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        error, _, valid = self._errors(prediction, target)
        return error.sum(), valid.sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        error, depth, _ = self._errors(prediction, target)
        wide = _wide(error)
        return {"abs_err": error.sum(dtype=wide), "rel_err": (error / depth.abs()).sum(dtype=wide)}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        return {name: sums[name] / sums["count"] for name in ("abs_err", "rel_err")}

    def _errors(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """|prediction - target| (0 where invalid), target (1 where invalid) and the mask, all [B, 1, H, W]."""
        depth = target.unsqueeze(1) if target.ndim == 3 else target
        if prediction.ndim != 4 or prediction.shape[1] != 1 or prediction.shape != depth.shape:
            raise self._reject(prediction, target, "a prediction [B, 1, H, W] and a target of the same size")
        depth, prediction = _single(depth), _single(prediction)
        valid = torch.isfinite(depth) & (depth != 0)
        return masked_error(prediction, depth, valid), torch.where(valid, depth, 1), valid


@dataclass(frozen=True)
class Normals(Task):
    """Surface normals [B, 3, H, W]; a target of length 0 (or NaN) is unknown, both sides are normalised to length 1.

    Angles are computed with atan2 (acos loses half the digits of float32 near 0°) and the median comes from a histogram
    over the whole split with steps of 0.01°, so it is exact to 0.005°.

    Args:
        objective: "l1" is the paper's Σ_channels |prediction - target| per valid pixel, "cosine" is 1 - dot product.
    """

    objective: Literal["l1", "cosine"] = "l1"
    kind: ClassVar[str] = "normals"
    thresholds: ClassVar[tuple[float, ...]] = (11.25, 22.5, 30.0)
    averaged_over_batches: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_angle",
        "median_angle",
        *(f"within_{limit:g}" for limit in thresholds),
    )

    def __post_init__(self) -> None:
        if self.objective not in ("l1", "cosine"):
            raise UserError(f"objective is {self.objective!r}; expected 'l1' or 'cosine'")

    @property
    def out_channels(self) -> int:
        """3, the components of the vector."""
        return 3

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean and median angle, and the fractions of pixels within 11.25°, 22.5° and 30°."""
        angles = Metric("mean_angle", "mean angle", "°", False), Metric("median_angle", "median angle", "°", False)
        return *angles, *(Metric(f"within_{t:g}", f"within {t:g}°", "%", True) for t in self.thresholds)

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
        return {"angle": angles.sum(dtype=_wide(angles)), "within": within, "histogram": histogram}

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
        length = torch.linalg.vector_norm(_single(target), dim=1)
        valid = torch.isfinite(length) & (length > 0)
        theirs = torch.where(valid.unsqueeze(1), _single(target) / length.unsqueeze(1), 0)
        return F.normalize(_single(prediction), dim=1, eps=_NORMAL_EPSILON), theirs, valid


@dataclass(frozen=True)
class Classification(Task):
    """One class per sample: cross-entropy on logits [B, C], labels [B].

    Args:
        num_classes: Number of classes C.
        ignore_index: Label of samples that count nowhere.
    """

    num_classes: int
    ignore_index: int = -1
    kind: ClassVar[str] = "classification"

    @property
    def out_channels(self) -> int:
        """C, one logit per class."""
        return self.num_classes

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Top-1 accuracy."""
        return (Metric("accuracy", "accuracy", "%", True),)

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return cross_entropy_terms(prediction, self._labels(prediction, target), self.ignore_index)

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        labels = self._labels(prediction, target)
        return {"correct": ((prediction.argmax(1) == labels) & (labels != self.ignore_index)).sum()}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        return {"accuracy": sums["correct"] / sums["count"]}

    def _labels(self, prediction: Tensor, target: Tensor) -> Tensor:
        labels = target.squeeze(1) if target.ndim == 2 and target.shape[1] == 1 else target
        if tuple(prediction.shape) != (*labels.shape, self.num_classes) or labels.ndim != 1:
            raise self._reject(prediction, target, f"logits [B, {self.num_classes}] and labels [B]")
        return labels.long()


@dataclass(frozen=True)
class Regression(Task):
    """One number per sample: prediction [B, 1] or [B], target likewise; NaN marks an unknown target.

    Args:
        objective: "mse", "huber" (δ = 1) or "l1".
        unit: Unit of the metrics.
        scale: Factor from the units the network is trained in to `unit`, for targets that were standardised.
    """

    objective: Literal["mse", "huber", "l1"] = "mse"
    unit: str = ""
    scale: float = 1.0
    kind: ClassVar[str] = "regression"
    averaged_over_batches: ClassVar[tuple[str, ...]] = ("loss", "mae", "mse")

    def __post_init__(self) -> None:
        if self.objective not in ("mse", "huber", "l1"):
            raise UserError(f"objective is {self.objective!r}; expected 'mse', 'huber' or 'l1'")

    @property
    def out_channels(self) -> int:
        """1."""
        return 1

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean absolute and mean squared error."""
        squared = f"{self.unit}²" if self.unit else ""
        return (
            Metric("mae", "mean absolute error", self.unit, False),
            Metric("mse", "mean squared error", squared, False),
        )

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        error, valid = self._errors(prediction, target)
        if self.objective == "mse":
            error = error**2
        elif self.objective == "huber":
            error = torch.where(error <= 1, 0.5 * error**2, error - 0.5)
        return error.sum(), valid.sum()

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        error = self._errors(prediction, target)[0]
        error = error.to(_wide(error)) * self.scale
        return {"absolute": error.sum(), "squared": (error**2).sum()}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        return {"mae": sums["absolute"] / sums["count"], "mse": sums["squared"] / sums["count"]}

    def _errors(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """|prediction - target| (0 where unknown) and the mask of known targets, both [B]."""
        columns = prediction.ndim <= 2 and target.ndim <= 2 and prediction.numel() == len(prediction)
        if not columns or target.numel() != prediction.numel():
            raise self._reject(prediction, target, "[B, 1] or [B] for both")
        truth = _single(target.reshape(-1))
        valid = torch.isfinite(truth)
        return masked_error(_single(prediction.reshape(-1)), truth, valid), valid


def cross_entropy_terms(logits: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy of logits [B, C, ...] over labels [B, ...] other than `ignore_index`, and their number."""
    total = F.cross_entropy(_single(logits), labels, ignore_index=ignore_index, reduction="sum")
    return total, (labels != ignore_index).sum()


def masked_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """|prediction - target| where valid and 0 elsewhere; what is not valid may be NaN and has no gradient."""
    return torch.where(valid, (prediction - target).abs(), 0)


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int, ignore_index: int = -1) -> Tensor:
    """Counts [C, C] of (label, predicted) pairs over the elements whose label is not `ignore_index`."""
    # What is not valid is counted in a place of its own: cheaper than picking the valid elements out.
    pairs = torch.where(labels != ignore_index, labels * num_classes + predicted, num_classes**2)
    counts = torch.bincount(pairs.flatten(), minlength=num_classes**2 + 1)
    return counts[:-1].reshape(num_classes, num_classes)


def mean_iou(confusion: Tensor, absent: Literal["skip", "zero"] = "skip") -> Tensor:
    """Mean intersection over union from a confusion matrix [C, C].

    Args:
        confusion: Counts, labels in rows.
        absent: What a class that is neither in the labels nor predicted does: "skip" leaves it out of the mean,
            "zero" lets it count as 0, as the paper's code does.
    """
    hits = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hits
    classes = (union > 0).sum() if absent == "skip" else len(hits)
    mean = (hits / union.clamp(min=1)).sum() / classes
    return torch.where(union.sum() > 0, mean, torch.nan)


def angles_between(first: Tensor, second: Tensor) -> Tensor:
    """Angles in degrees [B, H, W] between vectors [B, 3, H, W]; the angle to a vector of length 0 is 90°."""
    dot = (first * second).sum(1)
    cross = torch.linalg.vector_norm(torch.linalg.cross(first, second, dim=1), dim=1)
    return torch.where((dot == 0) & (cross == 0), 90.0, torch.rad2deg(torch.atan2(cross, dot)))


def histogram_median(histogram: Tensor) -> Tensor:
    """Index of the median in a histogram [N] of integers; the mean of the two middle ones for an even number."""
    below = histogram.cumsum(0)
    count = below[-1]
    middle = torch.stack([(count + 1) // 2, count // 2 + 1])
    return torch.searchsorted(below, middle).clamp(max=len(histogram) - 1).to(_wide(histogram)).mean()


def _with_loss(task: Task, sums: Sums, convention: Convention) -> Sums:
    wide = {name: value.to(_wide(value)) for name, value in sums.items()}
    return {"loss": wide["loss"] / wide["count"], **task._summarise(wide, convention)}


def _single(tensor: Tensor) -> Tensor:
    """At least single precision: half precision sums over an image overflow."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def _wide(tensor: Tensor) -> torch.dtype:
    """Type for sums over a split; Apple's GPUs have no float64."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
