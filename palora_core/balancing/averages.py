"""Moving averages of the tasks' gradients, for balancers that look at those instead of one batch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step

Rows = list[list[Tensor]]  # per task, a gradient per leaf


class AveragedGradients(GradientBalancer):
    """Base: y_t ← y_t + c (g_t − y_t), from zero, one average for each of a step's M passes.

    A step's passes go to preferences in one order, so the m-th is always at about the same λ. A task that has nothing
    to say in a pass (its loss is exactly 0) keeps its average and is left out. The averages are of the size of M·T
    networks.
    """

    state: ClassVar[tuple[str, ...]] = ("steps", "position", "averages")

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """No averages yet."""
        self.steps, self.position = 0, 0
        self.averages: list[Rows] = []

    def averaged(self, gradients: Sequence[Sequence[Tensor]], here: Sequence[bool], share: float) -> Rows:
        """The averages of the pass at hand after ``gradients`` moved them by ``share``, those of ``here`` alone."""
        if self.position == len(self.averages):
            self.averages.append([[torch.zeros_like(one) for one in rows] for rows in gradients])
        before = self.averages[self.position]
        found = [
            [old.to(new) + share * (new - old.to(new)) for old, new in zip(kept, rows)] if there else list(kept)
            for kept, rows, there in zip(before, gradients, here)
        ]
        self.averages[self.position] = found
        self.position += 1
        return found

    def after_step(self, step: Step, losses_now: Callable[[], Tensor]) -> None:
        """The next pass is the first of a step."""
        self.steps, self.position = self.steps + 1, 0
