"""What a program hands to a training that no configuration can hold: an optimizer's factory, a schedule, callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from palora_core.problem import Problem

Factory = Callable[[list[dict[str, Any]]], Optimizer]
Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Live:
    """Objects of the program that trains.

    Attributes:
        optimizer: parameter groups, each with its ``lr`` → optimizer; a class of ``torch.optim`` is one.
        schedule: number of the coming step, from 0 → factor on the learning rates.
        callbacks: see :mod:`palora_core.training.callbacks`.
    """

    optimizer: Factory | None = None
    schedule: Schedule | None = None
    callbacks: Sequence[Any] = ()

    def describe(self, problem: Problem) -> dict[str, str]:
        """By name, what of a run another process cannot build from its configuration; {} if it can build all."""
        found = {"optimizer": self.optimizer, "schedule": self.schedule, "problem": None if problem.name else problem}
        return {part: named(value) for part, value in found.items() if value is not None}


def named(value: Any) -> str:
    """Where a class, a function or the class of another object is defined; of a problem, its network's."""
    if isinstance(value, Problem):
        return str(value.named_network().get("class", "")) + " on " + ", ".join(one.name for one in value.objectives)
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
