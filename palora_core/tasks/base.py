"""What a task and its metrics are, and how a split is added up."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.tasks._tensors import foreign_label, sum_dtype

Convention = Literal["exact", "published"]
Sums = dict[str, Tensor]


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

    def check(self, target: Tensor) -> None:
        """Refuse a target on the CPU with values that no target has; one on another device is not looked at.

        Raises:
            UserError: naming the task and the value.
        """

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The training loss as a sum over the valid elements, with its graph, and their number."""
        self.check(target)
        return self._terms(prediction, target)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The training loss: mean over the valid elements of the batch, and 0 (with a gradient of 0) without any."""
        total, count = self.terms(prediction, target)
        return total / count.clamp(min=1)

    def sums(self, prediction: Tensor, target: Tensor) -> Sums:
        """All sums over a batch, outside the graph."""
        with torch.no_grad():
            total, count = self.terms(prediction, target)
            return {"loss": total.to(sum_dtype(total)), "count": count, **self._measure(prediction, target)}

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


def check_labels(task: Task, target: Tensor, num_classes: int, ignore_index: int) -> None:
    """Refuse labels on the CPU that are neither a class nor ``ignore_index``.

    Raises:
        UserError: naming the task, the label and ``ignore_index``.
    """
    found = foreign_label(target, num_classes, ignore_index) if target.is_cpu else None
    if found is not None:
        raise UserError(
            f"task {task.name!r} ({task.kind}) got the label {found:g}; expected a class from 0 to {num_classes - 1}, "
            f"or ignore_index {ignore_index} where there is none. Correct the labels, or give the task "
            f"ignore_index={found:g} if that marks what is not labelled."
        )


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
                means = with_loss(self.task, sums, self.convention)
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
        values = with_loss(self.task, self.state, self.convention)
        if self.convention == "published":
            for name in self.task.averaged_over_batches:
                values[name] = self.state[f"batch/{name}"] / self.state[f"batches/{name}"]
        return {name: float(value) for name, value in values.items()}


def with_loss(task: Task, sums: Sums, convention: Convention) -> Sums:
    """The metrics of ``task`` from sums, and its mean loss."""
    wide = {name: value.to(sum_dtype(value)) for name, value in sums.items()}
    return {"loss": wide["loss"] / wide["count"], **task._summarise(wide, convention)}
