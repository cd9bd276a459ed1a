"""Objectives: what is minimised. A scalar of outputs and batch, with metrics that say how good it is.

λ has one entry per objective. Supervised tasks (:mod:`palora_core.tasks`) are objectives that read one output and one
target; :func:`objective` makes one of any function: a penalty, a fairness gap, a contrastive loss, a negative reward.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from palora_core import batches
from palora_core.batches import Batch
from palora_core.errors import UserError

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


@dataclass(frozen=True)
class Objective:
    """One entry of λ: a scalar to be minimised, and metrics.

    Subclasses define ``loss`` and may define ``sums`` and ``summarise``, where the split's value is not the mean of its
    batches' (a gap between two groups, say). Everything such a metric needs is a sum over the split, so that parts of
    several machines are joined by adding them.

    Args:
        name: As in tables, files and on sliders.
        measures: Further metrics, see :func:`measures` for what may be given.
    """

    name: str
    measures: tuple[Measure, ...] = field(default=(), kw_only=True, compare=False)
    # Metrics that the paper's code averages over batches, whatever their size, instead of over elements.
    averaged_over_batches: ClassVar[tuple[str, ...]] = ("loss",)
    kind: ClassVar[str] = "objective"

    def __post_init__(self) -> None:
        object.__setattr__(self, "measures", measures(self.measures))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What :meth:`Accumulator.compute` returns besides the loss."""
        return (*self.summed_metrics, *(measure.metric for measure in self.measures))

    @property
    def summed_metrics(self) -> tuple[Metric, ...]:
        """The metrics among them that :meth:`summarise` gives."""
        return ()

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The scalar to be minimised, of the network's outputs and ``(inputs, targets)``, with its graph."""
        raise NotImplementedError

    def check(self, batch: Batch) -> None:
        """Refuse a batch that is still on the CPU with values that none has (a label that is no class).

        Raises:
            UserError: naming the objective and the value.
        """

    def terms(self, outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss as a sum, with its graph, and the number it is divided by: how parts of a batch are joined."""
        loss = self.checked(self.loss(outputs, batch))
        items = batches.count(outputs)
        return loss * items, torch.tensor(items, device=loss.device)

    def sums(self, outputs: Any, batch: Batch) -> Sums:
        """All sums over a batch, ``"loss"`` and ``"count"`` among them, outside the graph."""
        with torch.no_grad():
            total, number = self.terms(outputs, batch)
            return {"loss": total.to(sum_dtype(total)), "count": number}

    def summarise(self, sums: Sums, convention: Convention = "exact") -> Sums:
        """``"loss"`` and the summed metrics as scalars, from sums over any number of batches; NaN without any."""
        return {"loss": sums["loss"] / sums["count"]}

    def read(self, outputs: Any, batch: Batch) -> tuple[Any, ...]:
        """What measures without a reader of their own are given: (prediction, target)."""
        return outputs, batch[1]

    def accumulator(self, convention: Convention = "exact") -> Accumulator:
        """A new accumulator over a split.

        Args:
            convention: "exact" averages over all valid elements of the split. "published" follows the paper's code,
                for comparing with its tables: losses, depth errors and normal angles are means over batches, and
                classes that occur nowhere count as an IoU of 0.
        """
        return Accumulator(self, convention)

    def checked(self, loss: Any) -> Tensor:
        """``loss`` as a scalar.

        Raises:
            UserError: not a tensor, or one of several elements.
        """
        if not isinstance(loss, Tensor):
            raise UserError(
                f"The objective {self.name!r} gave a {type(loss).__name__}; expected a scalar tensor computed from the "
                "network's outputs."
            )
        if loss.numel() != 1:
            raise UserError(
                f"The objective {self.name!r} gave a tensor {list(loss.shape)}; expected a scalar: take its mean."
            )
        return loss.reshape(())


@dataclass(frozen=True)
class FunctionObjective(Objective):
    """An objective made of a function, see :func:`objective`.

    Args:
        function: (outputs, batch) → scalar.
    """

    function: Callable[[Any, Batch], Tensor]

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The function's value.

        Raises:
            UserError: the function fails, or gives no scalar.
        """
        try:
            found = self.function(outputs, batch)
        except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise UserError(
                f"The objective {self.name!r} failed ({type(error).__name__}: {error}) on outputs "
                f"{batches.describe(outputs)} and targets {batches.describe(batch[1])}."
            ) from error
        return self.checked(found)


def objective(name: str, loss: Callable[[Any, Batch], Tensor], metrics: Any = ()) -> Objective:
    """An objective from any function of the network's outputs and the batch.

    Over a split its value is the mean over batches, weighted by their sizes. Subclass :class:`Objective` where the
    split's value is something else.

    Args:
        name: As in tables, files and on sliders.
        loss: ``loss(outputs, (inputs, targets))`` → scalar tensor with a graph.
        metrics: name → torchmetrics-like object, or measures; they read ``(outputs, targets)`` unless they say how.
    """
    return FunctionObjective(name, loss, measures=metrics)


def check_objectives(given: Any) -> tuple[Objective, ...]:
    """The objectives of a problem from what a person writes: objectives, or a mapping of names to functions.

    Raises:
        UserError: none, something else, or two of one name.
    """
    if isinstance(given, Mapping):
        given = [one if isinstance(one, Objective) else objective(str(name), one) for name, one in given.items()]
    found = tuple(given)
    for one in found:
        if not isinstance(one, Objective):
            raise UserError(
                f"An objective is a {type(one).__name__}; expected pc.objective(name, function), a task, or a mapping "
                "of names to functions."
            )
    names = [one.name for one in found]
    twice = [name for name in names if names.count(name) > 1]
    if not found:
        raise UserError("A problem needs at least one objective, found none.")
    if twice:
        raise UserError(f"Two objectives are called {twice[0]!r}; rename one.")
    return found


class Accumulator:
    """Adds up a split for one objective, batch by batch.

    `state` holds plain sums; to combine processes, add each of its tensors (all-reduce) before `compute`.
    """

    def __init__(self, objective: Objective, convention: Convention = "exact") -> None:
        if convention not in ("exact", "published"):
            raise UserError(f"convention is {convention!r}; expected 'exact' or 'published'")
        self.objective = objective
        self.convention: Convention = convention
        self.state: Sums = {}
        self.meters: list[Any] = []

    def update(self, outputs: Any, batch: Batch) -> None:
        """Add a batch; nothing is copied from the device."""
        with torch.no_grad():
            self._add(self.objective.sums(outputs, batch))
            self._measure(outputs, batch)

    def _add(self, sums: Sums) -> None:
        sums = dict(sums)
        if self.convention == "published":
            means = self.objective.summarise(_wide(sums), self.convention)
            for name in self.objective.averaged_over_batches:
                valid = torch.isfinite(means[name])
                sums[f"batch/{name}"] = torch.where(valid, means[name], 0)
                sums[f"batches/{name}"] = valid.long()
        for name, value in sums.items():
            self.state[name] = self.state[name].to(value.device) + value if name in self.state else value

    def _measure(self, outputs: Any, batch: Batch) -> None:
        if not self.objective.measures:
            return
        if not self.meters:
            device = batches.tensors(outputs)[0].device
            self.meters = [measure.fresh(device) for measure in self.objective.measures]
        for measure, meter in zip(self.objective.measures, self.meters):
            try:
                meter.update(*(measure.read or self.objective.read)(outputs, batch))
            except Exception as error:
                raise self._broken(measure, error) from error

    def merge(self, other: Accumulator) -> None:
        """Add what another accumulator of the same objective and convention has seen.

        Raises:
            UserError: metrics that are not sums cannot be merged.
        """
        if self.objective.measures:
            raise UserError(f"Metrics of {self.objective.name!r} are no sums; evaluate whole splits in one process.")
        for name, value in other.state.items():
            self.state[name] = self.state[name] + value.to(self.state[name].device) if name in self.state else value

    def compute(self) -> dict[str, float]:
        """The objective's metrics and its "loss"; NaN where the split had no valid element.

        Raises:
            UserError: If no batch was added, or a metric fails or gives no single number.
        """
        if not self.state:
            raise UserError(f"objective {self.objective.name!r} has seen no batch; call update before compute")
        values = self.objective.summarise(_wide(self.state), self.convention)
        if self.convention == "published":
            for name in self.objective.averaged_over_batches:
                values[name] = self.state[f"batch/{name}"] / self.state[f"batches/{name}"]
        found = {name: float(value) for name, value in values.items()}
        for measure, meter in zip(self.objective.measures, self.meters):
            try:
                found[measure.metric.name] = float(meter.compute())
            except Exception as error:
                raise self._broken(measure, error) from error
        return found

    def _broken(self, measure: Measure, error: Exception) -> UserError:
        reason = str(error).partition("\n")[0][:200]
        return UserError(
            f"The metric {measure.metric.name!r} of the objective {self.objective.name!r} failed "
            f"({type(error).__name__}: {reason}); it must take what its reader gives and compute one number."
        )


def _wide(sums: Mapping[str, Tensor]) -> Sums:
    return {name: value.to(sum_dtype(value)) for name, value in sums.items()}


def sum_dtype(tensor: Tensor) -> torch.dtype:
    """Type for sums over a split; Apple's GPUs have no float64."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def combine(objective: Objective, parts: Sequence[tuple[Any, Batch]]) -> Tensor:
    """The loss over the parts of a step that feed ``objective``: one pass each where data come from several sources."""
    if len(parts) == 1:
        return objective.checked(objective.loss(*parts[0]))
    terms = [objective.terms(*part) for part in parts]
    number = torch.stack([number for _, number in terms]).sum().clamp(min=1)
    return torch.stack([total for total, _ in terms]).sum() / number
