"""What a task is: an objective that compares one output with one target, and knows its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core import batches
from palora_core.batches import Batch
from palora_core.errors import UserError
from palora_core.objectives import Convention, Objective, Sums, sum_dtype
from palora_core.registry import Kinds
from palora_core.tasks._tensors import foreign_label

tasks = Kinds("task", package="palora_core.tasks")

VALUES_AGREE = 0.01  # of the extent of what is compared

Select = str | int | Callable[[Any], Tensor] | None


@dataclass(frozen=True)
class Task(Objective):
    """A supervised objective: a prediction among the outputs against a target of the batch.

    Subclasses, one file per kind, define `out_channels`, `summed_metrics` and the hooks `_terms` (the loss, as a sum
    and a number of elements), `_measure` (further sums over a batch) and `_summarise` (metrics from sums); and what
    only the kind knows: `constant_answer` (for chance level), `effect` (how much two predictions differ). Filed by
    ``@tasks.register("name")`` (``pc.register("task", "name")`` in a plugin), a class has that name as its ``kind``.

    Args:
        name: Name of the task, as in the tables of its benchmark.
        output: Which output it reads: a key, an index, an attribute or a function of the outputs. By default the one
            called like the task, or the outputs themselves where they are one tensor.
        target: Which target it reads, likewise.
    """

    output: Select = field(default=None, kw_only=True)
    target: Select = field(default=None, kw_only=True)
    kind: ClassVar[str] = "task"
    effect_unit: ClassVar[str] = "%"  # of `effect`: a share, or a relative change, unless the kind says otherwise
    reading: ClassVar[str] = "numbers"  # what a prediction's numbers are, to somebody who has nothing but them
    class_axis: ClassVar[int | None] = None  # of one item's prediction, along which the largest number names the class
    effect_of: ClassVar[str] = ""  # what a share is of ("pixels"); "" where `effect` is an amount

    @property
    def out_channels(self) -> int:
        """Channels (or features) the network's head must put out."""
        raise NotImplementedError

    def _terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the loss over the valid elements, and their number: two scalars."""
        raise NotImplementedError

    def _count(self, target: Tensor) -> Tensor:
        """The number of valid elements alone, which no prediction changes."""
        return self._terms(self.constant_answer(target), target)[1]

    def _measure(self, prediction: Tensor, target: Tensor) -> Sums:
        """Further sums over the batch that the metrics are made of."""
        return {}

    def _summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        """Metrics as scalars from sums over any number of batches; NaN without a valid element."""
        return {}

    def told(self) -> dict[str, Any]:
        """How a prediction is to be read without this package, as JSON has it: classes, unit, what the numbers are."""
        names = list(getattr(self, "classes", ())) or [str(i) for i in range(getattr(self, "num_classes", 0))]
        named = {"classes": names, "labels": []} if self.class_axis is not None else {"classes": [], "labels": names}
        about = {"name": self.name, "kind": self.kind, "reading": self.reading, "axis": self.class_axis}
        return {**about, **named, "unit": getattr(self, "unit", ""), "scale": getattr(self, "scale", 1.0)}

    # -- what the kind knows -----------------------------------------------------------------------------------------
    def constant_answer(self, target: Tensor) -> Tensor:
        """The best prediction for ``target`` that never looks at the input, the same for every item."""
        raise NotImplementedError

    def chance(self, target: Tensor) -> dict[str, float]:
        """Metrics and loss of :meth:`constant_answer`, by metric name."""
        return self.score(self.constant_answer(target), target)

    def effect(self, first: Tensor, second: Tensor) -> Tensor:
        """How much two predictions for the same B inputs differ: per item [B], in ``effect_unit``, "%" as fractions."""
        raise NotImplementedError

    def effect_told(self, value: float) -> str:
        """An effect for people: "12.3 % of pixels", "by 8.1 °"."""
        number = f"{100 * value:.1f} %" if self.effect_unit == "%" else f"{value:.3g} {self.effect_unit}"
        return f"{number} of {self.effect_of}" if self.effect_of else f"by {number}"

    def agrees(self, first: Tensor, second: Tensor) -> bool:
        """Whether a person could not tell two predictions apart, one of them computed in a coarser number format."""
        extent = float(first.max() - first.min()) or 1.0
        return bool((first - second).abs().mean() <= VALUES_AGREE * extent)

    def least_uncertainty(self, items: int) -> float:
        """Half of the first metric's 95 % interval that ``items`` leave in any case, even where all of them agree."""
        return 0.0

    def _check(self, target: Tensor) -> None:
        """Refuse a target on the CPU with values that no target has; one on another device is not looked at."""

    # -- a prediction and a target -----------------------------------------------------------------------------------
    def prediction_of(self, outputs: Any) -> Tensor:
        """The task's prediction among a network's outputs.

        Raises:
            UserError: the outputs lack it.
        """
        return self._selected(outputs, self.output, "output")

    def target_of(self, batch: Batch) -> Tensor:
        """The task's target in a batch.

        Raises:
            UserError: the batch lacks it.
        """
        if not isinstance(batch, tuple | list) or len(batch) != 2:  # a DataLoader's own collate makes lists
            raise UserError(
                f"The task {self.name!r} expects a batch (inputs, targets), found {batches.describe(batch)}."
            )
        return self._selected(batch[1], self.target, "target")

    def _selected(self, tree: Any, select: Select, what: str) -> Tensor:
        if callable(select):
            return select(tree)
        if select is None and isinstance(tree, Tensor):
            return tree
        key = self.name if select is None else select
        if isinstance(tree, Tensor):  # an index would be an item of the batch, a name an attribute of tensors
            raise UserError(
                f"The task {self.name!r} reads the {what} {key!r}, found one tensor {list(tree.shape)}; leave {what}= "
                f"out to read all of it, or give a function, such as lambda y: y[:, 0]."
            )
        try:
            found = tree[key] if isinstance(key, int) or isinstance(tree, Mapping) else getattr(tree, key)
        except (KeyError, IndexError, TypeError, AttributeError):
            found = None
        if isinstance(found, Tensor):
            return found
        raise UserError(
            f"The task {self.name!r} reads the {what} {key!r}, found {batches.describe(tree)}; name the one to read by "
            f"{what}=."
        )

    def score(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """The metrics and the loss of predictions for a whole split."""
        sums = {name: value.to(sum_dtype(value)) for name, value in self._sums(prediction, target).items()}
        return {name: float(value) for name, value in self.summarise(sums).items()}

    def _sums(self, prediction: Tensor, target: Tensor) -> Sums:
        self._check(target)
        with torch.no_grad():
            total, count = self._terms(prediction, target)
            return {"loss": total.to(sum_dtype(total)), "count": count, **self._measure(prediction, target)}

    # -- as an objective ---------------------------------------------------------------------------------------------
    def terms(self, outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """The training loss as a sum over the valid elements, with its graph, and their number."""
        target = self.target_of(batch)
        self._check(target)
        return self._terms(self.prediction_of(outputs), target)

    def count(self, batch: Batch) -> Tensor:
        """The number of valid elements."""
        return self._count(self.target_of(batch))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The training loss: mean over the valid elements of the batch, and 0 (with a gradient of 0) without any."""
        total, count = self.terms(outputs, batch)
        return total / count.clamp(min=1)

    def check(self, batch: Batch) -> None:
        """Refuse targets on the CPU with values that no target has."""
        self._check(self.target_of(batch))

    def sums(self, outputs: Any, batch: Batch) -> Sums:
        """All sums over a batch, outside the graph."""
        return self._sums(self.prediction_of(outputs), self.target_of(batch))

    def summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        """The mean loss and the metrics."""
        return {"loss": sums["loss"] / sums["count"], **self._summarise(sums, convention)}

    def read(self, outputs: Any, batch: Batch) -> tuple[Any, ...]:
        """(prediction, target)."""
        return self.prediction_of(outputs), self.target_of(batch)

    def _reject(self, prediction: Tensor, target: Tensor, wanted: str) -> UserError:
        found = f"a prediction {list(prediction.shape)} and a target {list(target.shape)}"
        return UserError(f"task {self.name!r} ({self.kind}) got {found}; expected {wanted}")


def check_classes(task: Task, classes: tuple[str, ...], num_classes: int) -> None:
    """Refuse another number of names than there are classes; none at all is fine.

    Raises:
        UserError: naming the task and both numbers.
    """
    if classes and len(classes) != num_classes:
        raise UserError(f"task {task.name!r} ({task.kind}) has {len(classes)} names for {num_classes} classes.")


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
