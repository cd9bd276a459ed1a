"""FAMO: weights that make all losses fall at the same relative rate, learnt from the losses alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core.balancing.base import Step, balancers
from palora_core.balancing.learnt import LearntVector
from palora_core.balancing.losses import LossBalancer
from palora_core.ranges import NotNegative

_TINY = 1e-8


@balancers.register("famo")
@dataclass
class Famo(LossBalancer):
    """c Σ_t z_t log L_t, z = softmax(ξ), 1/c = Σ_t z_t / L_t (Liu, Feng, Stone, Liu: FAMO, NeurIPS 2023).

    After the optimizer's step ξ moves by Adam along z's Jacobian times the fall of the log-losses on the same batch,
    at the last λ of the step. Losses are shifted by their known minimum.

    Attributes:
        weights_lr: learning rate of ξ.
        decay: γ, the weight decay that makes old losses matter less.
        minimum: lower bound of all losses.
    """

    state: ClassVar[tuple[str, ...]] = ("learnt",)
    weights_lr: NotNegative = 0.025
    decay: NotNegative = 1e-3
    minimum: float = 0.0

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """ξ = 0: equal weights."""
        self.logits = LearntVector([0.0] * num_tasks, self.weights_lr, self.decay, device)

    @property
    def learnt(self) -> dict[str, Any]:
        """ξ and its optimizer."""
        return self.logits.state

    @learnt.setter
    def learnt(self, state: dict[str, Any]) -> None:
        self.logits.state = state

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The weighted logarithms, normalised so that the tasks' weights are a convex combination at the centre."""
        shares = self.logits.values.softmax(dim=0)
        shifted = losses - self.minimum + _TINY
        norm = (shares / shifted).sum().detach()
        return (preference * len(losses) * shares * shifted.log()).sum() / norm

    def after_step(self, step: Step, losses_now: Callable[[], Tensor]) -> None:
        """Move ξ by what the step did to the losses."""
        before = torch.stack([loss.detach() for loss in step.losses])
        with torch.no_grad():
            change = self._log(before) - self._log(losses_now().to(before))
        shares = self.logits.values.softmax(dim=0)
        self.logits.descend(shares * (change - (shares * change).sum()))

    def _log(self, losses: Tensor) -> Tensor:
        return torch.log(losses - self.minimum + _TINY)
