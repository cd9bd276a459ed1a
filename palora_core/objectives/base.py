"""Objectives: what is minimised. A scalar of outputs and batch, with metrics that say how good it is.

λ has one entry per objective. Supervised tasks (:mod:`palora_core.tasks`) are objectives that read one output and one
target; :func:`objective` makes one of any function: a penalty, a fairness gap, a contrastive loss, a negative reward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core import batches
from palora_core.batches import Batch
from palora_core.errors import UserError
from palora_core.objectives.accumulator import Accumulator
from palora_core.objectives.failures import objective_failures
from palora_core.objectives.metrics import Convention, Measure, Metric, Sums, measures, sum_dtype


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

    def count(self, batch: Batch) -> Tensor:
        """The number that :meth:`terms` gives, before there are outputs: what a batch weighs among those of a step."""
        return torch.tensor(batches.count(batch[0]))

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
            UserError: not a tensor, or one of several elements, or complex.
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
        if loss.is_complex():
            raise UserError(f"The objective {self.name!r} gave a complex number; expected a real one: take its abs().")
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
        with objective_failures(self.name, outputs, batch):
            found = self.function(outputs, batch)
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
    if not callable(loss):
        raise UserError(f"The objective {name!r} is a {type(loss).__name__}; expected a function of (outputs, batch).")
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


def combine(objective: Objective, parts: Sequence[tuple[Any, Batch]]) -> Tensor:
    """The loss over the parts of a step that feed ``objective``: one pass each where data come from several sources."""
    if len(parts) == 1:
        with objective_failures(objective.name, *parts[0]):
            return objective.checked(objective.loss(*parts[0]))
    terms = terms_of(objective, parts)
    number = torch.stack([number for _, number in terms]).sum().clamp(min=1)
    return torch.stack([total for total, _ in terms]).sum() / number


def terms_of(objective: Objective, parts: Sequence[tuple[Any, Batch]]) -> list[tuple[Tensor, Tensor]]:
    """:meth:`Objective.terms` of every part."""
    found = []
    for part in parts:
        with objective_failures(objective.name, *part):
            found.append(objective.terms(*part))
    return found
