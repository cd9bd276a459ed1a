"""GradNorm: learnt loss weights that bring the tasks' gradient norms in line with their training rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.balancing.learnt import LearntVector, LearntWeights
from palora_core.ranges import NotNegative


@balancers.register("gradnorm")
@dataclass
class GradNorm(LearntWeights, GradientBalancer):
    """Σ_t w_t L_t, w learnt on Σ_t |w_t‖∇L_t‖ − n̄ r_t^a|, then rescaled to sum T (Chen et al.: GradNorm, ICML 2018).

    n̄ is the mean of the w_t‖∇L_t‖ and r_t the task's inverse training rate: L_t over its first value, divided by the
    tasks' mean of that; losses of 0 are left out. The target is held constant. Norms are over all shared weights; the
    paper's last shared layer is a saving that the T backward passes made here do not need. w moves once per step.

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
        self.vector = LearntVector([1.0] * num_tasks, self.weights_lr, 0.0, device)
        self.gradient = torch.zeros(num_tasks, device=device)
        self.first: list[float] = []

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """The present w; collects its gradient for the end of the step."""
        losses = step.values_from(0.0, "GradNorm")
        first = self.first or [0.0] * len(losses)
        self.first = [old or new for old, new in zip(first, losses.tolist())]
        norms = gramian.diagonal().clamp_min(0).sqrt()
        if not torch.isfinite(norms).all():
            raise FloatingPointError("the norms of the task gradients are not finite")
        present = self.vector.values.to(norms)
        here = losses != 0
        if here.any():
            self.gradient[here] += self._pull(losses[here], here, present[here] * norms[here], norms[here])
        return present

    def _pull(self, losses: Tensor, here: Tensor, scaled: Tensor, norms: Tensor) -> Tensor:
        """Gradient of the weights of the tasks that are here."""
        rates = losses / torch.tensor(self.first).to(losses)[here]
        target = scaled.mean() * (rates / rates.mean()).pow(self.asymmetry)
        return (torch.sign(scaled - target) * norms).to(self.gradient)

    def head_weights(self, weights: Tensor, step: Step) -> Tensor:
        """Each head follows its weighted loss."""
        return weights

    def after_step(self, step: Step, losses_now: Callable[[], Tensor]) -> None:
        """Move w, keep it positive and of sum T."""
        self.vector.descend(self.gradient)
        values = self.vector.values
        values.clamp_(min=1e-3).mul_(len(values) / values.sum())
        self.gradient.zero_()
