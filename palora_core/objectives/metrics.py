"""Metrics: what a number means, and those that more than sums over a split give."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from palora_core.batches import Batch
from palora_core.errors import UserError
from palora_core.objectives.figures import change, figure

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
        return figure(value, self.unit)

    def change(self, now: float, before: float) -> str:
        """What it has changed by, for people: '+0.4 points', '−0.12 °'."""
        return change(now, before, self.unit)


LOSS = Metric("loss", "loss", "", False)


class Meter(Protocol):
    """A metric with a memory, as torchmetrics has them."""

    def update(self, *args: Any) -> None:
        """Add a batch."""

    def compute(self) -> Any:
        """The value over all batches added: a number or a tensor with one element."""

    def reset(self) -> None:
        """Forget all batches."""


Reader = Callable[[Any, Batch], tuple[Any, ...]]


@dataclass(frozen=True)
class Measure:
    """A metric that no sum over batches gives (AUROC, mAP, a c-index, BLEU), computed by a :class:`Meter`.

    Args:
        metric: what its number means.
        meter: the object that computes it, torchmetrics' classes as they are; copied for every preference.
        read: (outputs, batch) → arguments of ``update``; a task's own prediction and target if None.
    """

    metric: Metric
    meter: Meter
    read: Reader | None = None

    def fresh(self, device: torch.device) -> Any:
        """A copy of the meter that has seen nothing, on ``device``."""
        meter = copy.deepcopy(self.meter)
        if hasattr(meter, "sync_on_compute"):  # every rank sees whole splits for its own preferences
            meter.sync_on_compute = False
        meter.reset()
        return meter.to(device) if hasattr(meter, "to") else meter


def measures(given: Any) -> tuple[Measure, ...]:
    """Measures from what a person writes: a mapping of names to meters or measures, or a sequence of measures.

    A torchmetrics class tells itself whether higher is better; so must any other meter, by ``higher_is_better``.

    Raises:
        UserError: something that is no meter, or does not say which direction is better.
    """
    if not isinstance(given, Mapping):
        wrong = [one for one in given if not isinstance(one, Measure)]
        if wrong:
            found = type(wrong[0]).__name__
            raise UserError(f"Metrics must be a mapping of names to meters, or measures, found {found}.")
        return tuple(given)
    return tuple(one if isinstance(one, Measure) else _measure(str(name), one) for name, one in given.items())


def _measure(name: str, meter: Any) -> Measure:
    missing = [method for method in ("update", "compute", "reset") if not callable(getattr(meter, method, None))]
    if missing:
        raise UserError(
            f"The metric {name!r} is a {type(meter).__name__} without {missing[0]}(); expected update(), compute() and "
            "reset(), as torchmetrics' classes have them."
        )
    better = getattr(meter, "higher_is_better", None)
    if not isinstance(better, bool):
        raise UserError(
            f"The metric {name!r} ({type(meter).__name__}) does not say whether higher is better; set its "
            "higher_is_better, or give a Measure with a Metric."
        )
    return Measure(Metric(name, name.replace("_", " "), "", better), meter)


def sum_dtype(tensor: Tensor) -> torch.dtype:
    """Type for sums over a split; Apple's GPUs have no float64."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
