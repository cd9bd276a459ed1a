"""PaMaL's multi-forward regularisation: over a step's M preferences, a task's loss must fall where its λ_t grows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from palora_core.balancing.base import Step, balancers
from palora_core.balancing.linear import GradientNormalised
from palora_core.ranges import NotNegative, Positive


def order_penalty(losses: Tensor, preferences: Tensor, temperature: float = 1.0) -> Tensor:
    """Σ_t log( Σ_j exp(temperature · [L_t(λ^(j+1)) − L_t(λ^(j))]₊) / (M − 1) ), preferences in rising order of λ_t.

    Zero iff every task's loss falls, or stays, as its weight rises.

    Args:
        losses: [M, T].
        preferences: [M, T], M ≥ 2.
        temperature: factor on violations.
    """
    ordered = losses.gather(0, preferences.argsort(dim=0, stable=True).to(losses.device))
    rises = temperature * ordered.diff(dim=0).relu()
    return (rises.logsumexp(0) - math.log(len(rises))).sum()


@balancers.register("multi_forward")
@dataclass
class MultiForward(GradientNormalised):
    """λᵀL (or Σ λ_t L_t / (‖∇L_t‖ + ξ)) plus c · the order penalty over all passes of the step (PaMaL).

    The penalty joins M forward passes, yet its gradient is only a number per loss, c · ∂R/∂L_t(λ^(m)). So before the
    passes, losses are taken once without graphs, and each pass then weighs its losses by its row of these numbers: the
    memory stays that of one pass, for M more forward passes; none are taken while c is 0.

    Attributes:
        xi: ξ, keeps a vanishing gradient from dividing by zero.
        coefficient: c; the paper's code adds the penalty only while c·R is below the step's total loss.
        temperature: factor on violations.
        normalise: divide task losses by the norms of their gradients, as for UTKFace and CityScapes.
    """

    coefficient: NotNegative = 0.0
    temperature: Positive = 1.0
    normalise: bool = False

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Start without a plan."""
        self._plan: list[tuple[Tensor, Tensor]] = []

    def begin_step(self, preferences: Tensor, losses_at: Callable[[Tensor], Tensor]) -> None:
        """Plan the step: what the penalty adds to the weights of every pass.

        Args:
            preferences: [M, T], in the order of the passes to come.
            losses_at: λ → losses [T] of this step's batch, without graph.
        """
        self._plan = []
        if not self.coefficient or len(preferences) < 2:
            return
        losses = torch.stack([losses_at(preference) for preference in preferences]).detach().requires_grad_()
        preferences = preferences.to(losses)
        penalty = self.coefficient * order_penalty(losses, preferences, self.temperature)
        (added,) = torch.autograd.grad(penalty, losses)
        if penalty < (preferences * losses).sum():
            self._plan = list(zip(preferences, added))

    def backward(self, step: Step) -> Tensor:
        """One backward pass of the weighted sum, or one per task where gradients are normalised."""
        if self.normalise:
            return super().backward(step)
        weights = step.preference + self._added(step)
        sum(weight * loss for weight, loss in zip(weights, step.losses)).backward()
        return weights

    def weights(self, step: Step, norms: Tensor) -> Tensor:
        """λ_t / (‖∇L_t‖ + ξ), and what the plan adds."""
        return super().weights(step, norms) + self._added(step)

    def _added(self, step: Step) -> Tensor:
        """What the plan adds to the weights of this pass: zeros where there is no plan."""
        for position, (preference, added) in enumerate(self._plan):
            if torch.equal(preference.to(step.preference), step.preference):
                del self._plan[position]
                return added.to(step.preference)
        return torch.zeros_like(step.preference)
