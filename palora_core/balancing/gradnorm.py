"""GradNorm: learnt loss weights that bring the tasks' gradient norms in line with their training rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.balancing.learnt import LearntVector
from palora_core.ranges import NotNegative


@balancers.register("gradnorm")
@dataclass
class GradNorm(GradientBalancer):
    """Σ_t w_t L_t, w learnt on Σ_t |w_t‖∇L_t‖ − n̄ r_t^a|, then rescaled to sum T (Chen et al.: GradNorm, ICML 2018).

    n̄ is the mean of the w_t‖∇L_t‖ and r_t the task's inverse training rate: L_t over its first value, divided by the
    tasks' mean of that. The target is held constant. Norms are over all shared parameters; the paper's last shared
    layer is a saving that the T backward passes made here do not need. w moves once per step.

    Attributes:
        asymmetry: a, how strongly slow tasks are pulled ahead.
        weights_lr: Adam's learning rate for w.
    """

    state: ClassVar[tuple[str, ...]] = ("learnt", "first")
    steers_gradients: ClassVar[bool] = False
    asymmetry: NotNegative = 1.5
    weights_lr: NotNegative = 0.025

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Equal weights; no first losses yet."""
        self.task_weights = LearntVector([1.0] * num_tasks, self.weights_lr, 0.0, device)
        self.gradient = torch.zeros(num_tasks, device=device)
        self.first: list[float] = []

    @property
    def learnt(self) -> dict[str, Any]:
        """w and its optimizer."""
        return self.task_weights.state

    @learnt.setter
    def learnt(self, state: dict[str, Any]) -> None:
        self.task_weights.state = state

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """The present w; collects its gradient for the end of the step."""
        losses = torch.stack([loss.detach() for loss in step.losses])
        self.first = self.first or losses.tolist()
        rates = losses / torch.tensor(self.first).to(losses).clamp_min(1e-12)
        norms = gramian.diagonal().clamp_min(0).sqrt()
        present = self.task_weights.values.to(norms)
        scaled = present * norms
        target = scaled.mean() * (rates / rates.mean()).pow(self.asymmetry)
        self.gradient += (torch.sign(scaled - target) * norms).to(self.gradient)
        return present

    def head_weights(self, weights: Tensor, step: Step) -> Tensor:
        """Each head follows its weighted loss."""
        return weights

    def after_step(self, step: Step, losses_now: Callable[[], Tensor]) -> None:
        """Move w, keep it positive and of sum T."""
        self.task_weights.descend(self.gradient)
        values = self.task_weights.values
        values.clamp_(min=1e-3).mul_(len(values) / values.sum())
        self.gradient.zero_()
