"""Fair directions: Nash-MTL's bargaining solution and FairGrad's α-fair one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, accumulate_gradient, balancers
from palora_core.balancing.solvers import as_array, as_weights, fair_weights
from palora_core.ranges import Count, NotNegative, Positive, check_ranges


def clip_factor(weights: Tensor, gramian: Tensor, max_norm: float) -> Tensor:
    """The factor ≤ 1 that keeps ‖Σ_t w_t g_t‖ at most ``max_norm`` (0: no limit), from the Gramian alone."""
    if max_norm <= 0:
        return torch.ones((), device=weights.device, dtype=weights.dtype)
    norm = (weights @ gramian.to(weights) @ weights).clamp_min(0).sqrt()
    return (max_norm / (norm + 1e-6)).clamp(max=1.0)


@balancers.register("fairgrad")
@dataclass
class FairGrad(GradientBalancer):
    """T·Σ_t w_t g_t, G w = w^(−1/a): α-fair progress of the tasks (Ban & Ji: FairGrad, ICML 2024).

    a = 1 is Nash-MTL's condition, a → 0 linear scalarization, a → ∞ max-min fairness. As in the authors' code,
    the result is scaled by T and clipped, and heads get their plain gradients.

    Attributes:
        fairness: the paper's α.
        max_norm: largest norm of a pass's combined gradient; 0 for no limit.
    """

    steers_gradients: ClassVar[bool] = False
    fairness: Positive = 2.0
    max_norm: NotNegative = 1.0

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """T times the fair weights."""
        return as_weights(len(gramian) * fair_weights(as_array(gramian), self.fairness), gramian)

    def weigh(self, gramian: Tensor, step: Step) -> Tensor:
        """The weights at λ, clipped."""
        weights = super().weigh(gramian, step)
        return weights * clip_factor(weights, gramian, self.max_norm)


@balancers.register("nash_mtl")
@dataclass
class NashMTL(GradientBalancer):
    """Σ_t α_t g_t with G α = 1/α: the tasks' Nash bargaining solution (Navon et al.: Nash-MTL, ICML 2022).

    Solved exactly instead of by sequential convex programs. As in the authors' code α weighs the heads too, and the
    gradient of the shared parameters is clipped. α is computed every ``update_every`` steps, once for each of the
    step's M preferences, and reused in between at the cost of one backward pass. λ scales the α_t, since α undoes any
    scale of the gradients.

    Attributes:
        update_every: steps between two solutions.
        max_norm: largest norm of a pass's combined gradient; 0 for no limit.
    """

    state: ClassVar[tuple[str, ...]] = ("steps", "solutions", "position")
    steers_gradients: ClassVar[bool] = False
    update_every: Count = 1
    max_norm: NotNegative = 1.0

    def __post_init__(self) -> None:
        check_ranges(self)

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """No solutions yet."""
        self.steps, self.position = 0, 0
        self.solutions: list[list[float]] = []

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """α, remembered for the coming steps."""
        alpha = as_weights(fair_weights(as_array(gramian)), gramian)
        self.solutions.append(alpha.tolist())
        return alpha

    def weigh(self, gramian: Tensor, step: Step) -> Tensor:
        """α at λ, clipped on the shared parameters only."""
        self.unclipped = super().weigh(gramian, step)
        return self.unclipped * clip_factor(self.unclipped, gramian, self.max_norm)

    def head_weights(self, weights: Tensor, step: Step) -> Tensor:
        """Heads follow the weighted losses."""
        return self.unclipped

    def backward(self, step: Step) -> Tensor | None:
        """Solve and combine, or reuse this pass's last solution."""
        place, self.position = self.position, self.position + 1
        if place >= len(self.solutions):
            return super().backward(step)
        alpha = torch.tensor(self.solutions[place]).to(step.preference) * step.preference * len(step.losses)
        self._combine(step, alpha)
        return alpha

    def after_step(self, step: Step, losses_now: Callable[[], Tensor]) -> None:
        """Count; forget the solutions where new ones are due."""
        self.steps, self.position = self.steps + 1, 0
        if self.steps % self.update_every == 0:
            self.solutions = []

    def _combine(self, step: Step, alpha: Tensor) -> None:
        """One backward pass of Σ_t α_t L_t, clipped on the shared leaves."""
        leaves = [leaf for group in [step.forward_pass.shared, *step.forward_pass.specific] for leaf in group]
        factors: list[Any] = [a.to(loss) for a, loss in zip(alpha, step.losses)]
        found = torch.autograd.grad(list(step.losses), leaves, factors, allow_unused=True)
        gradients = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found)]
        count = len(step.forward_pass.shared)
        square = step.gramian([gradients[:count]]) if count else torch.zeros(1, 1).to(alpha)
        factor = clip_factor(torch.ones_like(alpha[:1]), square, self.max_norm)
        for place, (leaf, gradient) in enumerate(zip(leaves, gradients)):
            accumulate_gradient(leaf, gradient, factor if place < count else 1.0)
