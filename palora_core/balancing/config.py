"""ConFIG: the direction that has the same cosine with every task's gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.balancing.solvers import over_active

_CUT = 1e-10  # of the largest eigenvalue of the cosines: unit gradients that depend on each other


def conflict_free_weights(gramian: np.ndarray, preferences: np.ndarray) -> np.ndarray:
    """Weights [T] of d = (Σ_t ⟨g_t, u⟩) u, u the unit vector along U⁺p, U the unit gradients as rows.

    U⁺p = Uᵀ(UUᵀ)⁺p, so the cosines UUᵀ are enough: u has ⟨u, g_t/‖g_t‖⟩ ∝ p_t wherever that is possible.

    Args:
        gramian: of the gradients, all of positive length.
        preferences: p, ones in the paper.
    """
    lengths = np.sqrt(gramian.diagonal())
    cosines = gramian / np.outer(lengths, lengths)
    weights = np.linalg.pinv(cosines, rcond=_CUT, hermitian=True) @ preferences / lengths
    products = gramian @ weights
    square = float(weights @ products)
    return weights * float(products.sum()) / square if square > 0 else np.zeros_like(weights)


@balancers.register("config")
@dataclass
class ConFIG(GradientBalancer):
    """Conflict-free inverse gradients (Liu, Chu, Thuerey: ConFIG, ICLR 2025): equal cosines, length Σ_t ⟨g_t, u⟩.

    The cosines follow p = T·λ in place of the paper's ones. Heads get their plain gradients.
    """

    steers_gradients: ClassVar[bool] = False

    def weigh(self, gramian: Tensor, step: Step) -> Tensor:
        """The weights at λ."""
        preferences = step.preference.detach().double().cpu().numpy() * len(step.losses)
        active = gramian.diagonal().cpu().numpy() > 0
        found = over_active(gramian, lambda array: conflict_free_weights(array, preferences[active]))
        return found.to(step.preference)
