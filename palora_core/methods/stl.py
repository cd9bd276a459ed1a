"""Single-task learning: one network for one task, the yardstick of every multi-task method."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.methods.base import Method, methods
from palora_core.samplers import PreferenceSampler, samplers


@samplers.register("one_task")
@dataclass(frozen=True)
class OneTask:
    """The corner of the simplex that belongs to one task, whatever the number of tasks.

    Args:
        task: its index, from 0.
    """

    task: int = 0

    def sample(self, num_tasks: int, num_preferences: int, tau: float, generator: torch.Generator | None) -> Tensor:
        """M copies of the one-hot preference [M, T]."""
        if isinstance(self.task, bool) or not isinstance(self.task, int) or not 0 <= self.task < num_tasks:
            raise UserError(f"task is {self.task!r}; expected a whole number from 0 to {num_tasks - 1}")
        return torch.eye(num_tasks)[self.task].repeat(num_preferences, 1)


@methods.register("stl")
@dataclass(frozen=True)
class SingleTask(Method):
    """One network trained on one loss alone: ``--set task=1`` for the second task; the other heads stay as they are."""

    title: ClassVar[str] = "STL"
    source: ClassVar[str] = "folklore; the single-task baseline"

    sampler: PreferenceSampler = field(default_factory=OneTask)
