"""Common descent directions from convex programs on the Gramian: MGDA and CAGrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.balancing.solvers import conflict_averse_weights, min_norm_weights, over_active
from palora_core.ranges import NotNegative


@balancers.register("mgda")
@dataclass
class MGDA(GradientBalancer):
    """T·Σ_t w_t g_t, w the shortest convex combination of the gradients (Sener & Koltun, NeurIPS 2018; Désidéri 2012).

    Solved exactly for any T (Frank-Wolfe, in the papers' code and torchjd, stops at a tolerance). Factor T and weighted
    heads as in the released code. λ scales the weights: on scaled gradients the shortest combination would do
    the opposite of what λ asks, preferring the smaller ones.

    Attributes:
        normalisation: what each gradient is divided by when w is sought: nothing, its norm, its loss, or both.
    """

    steers_gradients: ClassVar[bool] = False
    normalisation: Literal["none", "l2", "loss", "loss+"] = "none"

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """T times the min-norm weights."""
        scaled = self.normalisation in ("loss", "loss+")
        wide = gramian.double()
        losses = (step.values_from(0.0, "MGDA's normalisation by losses") if scaled else step.values()).to(wide)
        norms = wide.diagonal().clamp_min(0).sqrt()
        divisors = {"none": torch.ones_like(norms), "l2": norms, "loss": losses, "loss+": losses * norms}
        divisor = divisors[self.normalisation].clamp_min(1e-12)
        wide = wide / torch.outer(divisor, divisor)
        return over_active(wide, lambda array: len(array) * min_norm_weights(array)).to(gramian)

    def head_weights(self, weights: Tensor, step: Step) -> Tensor:
        """Heads follow the weighted losses."""
        return weights


@balancers.register("cagrad")
@dataclass
class CAGrad(GradientBalancer):
    """T·(g₀ + c‖g₀‖ g_w/‖g_w‖)/(1 + c²), g₀ the mean gradient (Liu et al.: CAGrad, NeurIPS 2021).

    The direction within c‖g₀‖ of g₀ that lifts the worst-off task most; w solves the dual problem on the simplex. Scale
    of the authors' code: sum instead of mean, and divided by 1 + c². Heads get their plain gradients.

    Attributes:
        radius: c in [0, 1); 0 is the sum of the gradients.
    """

    radius: NotNegative = 0.4

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """Weights of the conflict-averse direction."""
        return over_active(gramian, self._solve)

    def _solve(self, array: np.ndarray) -> np.ndarray:
        size = len(array)
        dual = conflict_averse_weights(array, self.radius)
        mean_norm = np.sqrt(max(array.mean(), 0.0))
        dual_norm = np.sqrt(max(dual @ array @ dual, 0.0))
        weights = np.full(size, 1 / size) + self.radius * mean_norm / (dual_norm + 1e-8 * (mean_norm + 1e-300)) * dual
        return size * weights / (1 + self.radius**2)
