"""FAMO: weights that make all losses fall at the same relative rate, learnt from the losses alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from palora_core.balancing.base import Step, balancers
from palora_core.balancing.learnt import LearntVector, LearntWeights
from palora_core.balancing.losses import LossBalancer, silent
from palora_core.ranges import NotNegative

_TINY = 1e-8


@balancers.register("famo")
@dataclass
class Famo(LearntWeights, LossBalancer):
    """c Σ_t z_t log L_t, z = softmax(ξ), 1/c = Σ_t z_t / L_t (Liu, Feng, Stone, Liu: FAMO, NeurIPS 2023).

    After the optimizer's step ξ moves by Adam along z's Jacobian times the fall of the log-losses on the same batch,
    at the last λ of the step. Losses are shifted by their known minimum.

    Attributes:
        weights_lr: learning rate of ξ.
        decay: γ, the weight decay that makes old losses matter less.
        minimum: lower bound of all losses.
    """

    weights_lr: NotNegative = 0.025
    decay: NotNegative = 1e-3
    minimum: float = 0.0

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """ξ = 0: equal weights."""
        self.vector = LearntVector([0.0] * num_tasks, self.weights_lr, self.decay, device)

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The weighted logarithms, normalised so that the tasks' weights are a convex combination at the centre."""
        left_out = silent(losses)
        shares = self._shares(left_out)
        shifted = losses - self.minimum + _TINY
        norm = (shares / shifted).sum().detach().clamp_min(torch.finfo(losses.dtype).tiny)
        return (preference * len(losses) * shares * torch.where(left_out, 0, shifted.log())).sum() / norm

    def backward(self, step: Step) -> Tensor:
        """As every loss balancer's, where no loss is below its minimum."""
        step.check_from(self.minimum, "FAMO (with its option minimum)", step.values())
        return super().backward(step)

    def after_step(self, step: Step, losses_now: Callable[[], Tensor]) -> None:
        """Move ξ by what the step did to the losses."""
        before = step.values()
        now = losses_now().to(before)
        step.check_from(self.minimum, "FAMO (with its option minimum)", now)
        left_out = silent(before) | silent(now)
        change = torch.where(left_out, 0, self._log(before) - self._log(now))
        shares = self._shares(left_out)
        self.vector.descend(shares * (change - (shares * change).sum()))

    def _shares(self, left_out: Tensor) -> Tensor:
        """z [T] over the tasks that are not left out; zeros where all are."""
        return self.vector.values.masked_fill(left_out & ~left_out.all(), -torch.inf).softmax(dim=0) * ~left_out

    def _log(self, losses: Tensor) -> Tensor:
        return torch.log(losses - self.minimum + _TINY)
