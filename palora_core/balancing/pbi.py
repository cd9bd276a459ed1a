"""PBI: down along a ray of the objectives that λ chooses, and not far from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from palora_core.balancing.base import Step, balancers
from palora_core.balancing.losses import LossBalancer, silent
from palora_core.ranges import NotNegative, check_ranges

_LEAST = 1e-6  # of an entry of λ: the ray of a corner is an axis
_TINY = 1e-12


@balancers.register("pbi")
@dataclass
class PenaltyBoundaryIntersection(LossBalancer):
    """d₁ + θ d₂: how far L − z is along a ray, and how far from it (Zhang & Li: MOEA/D, 2007).

    The ray is that of smooth Tchebycheff's optimum, (L_t − z) ∝ 1/λ_t, so that a large λ_t makes task t good (MOEA/D
    takes λ itself for the ray, which means the opposite). With θ large enough every point of the Pareto front is the
    minimum for its ray, also where the front is not convex. A task that is ahead of the ray has a negative weight.

    Attributes:
        penalty: θ; the paper's experiments, which evolve points of an objective space, have 5. The larger, the more a
            task that is ahead of the ray is made worse on the way to it.
        ideal: z, below what all losses can reach.
    """

    penalty: NotNegative = 1.0
    ideal: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self)

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The penalised distance, over the tasks that are not silent."""
        here = ~silent(losses)
        ray = here / preference.to(losses).clamp_min(_LEAST)
        ray = ray / ray.norm().clamp_min(torch.finfo(losses.dtype).tiny)
        shifted = torch.where(here, losses - self.ideal, 0)
        scale = shifted.detach().abs().max().clamp_min(torch.finfo(losses.dtype).tiny)
        along = (shifted / scale) @ ray
        across = shifted / scale - along * ray
        return scale * (along + self.penalty * (across @ across + _TINY).sqrt())

    def backward(self, step: Step) -> Tensor:
        """As every loss balancer's, where no loss is below the ideal."""
        step.check_from(self.ideal, "PBI (with its option ideal)", step.values())
        return super().backward(step)
