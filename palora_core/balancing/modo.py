"""MoDo: weights towards the common descent direction, unbiased by looking at two independent batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palora_core.balancing.base import balancers
from palora_core.balancing.simplex_steps import TwoBatchWeights, onto_simplex
from palora_core.ranges import NotNegative, Positive


def projected_step(products: np.ndarray, weights: np.ndarray, rate: float, ridge: float) -> np.ndarray:
    """The projection of w − γ (J J'ᵀ w + ρ w) onto the simplex."""
    return onto_simplex(weights - rate * (products @ weights + ridge * weights))


@balancers.register("modo")
@dataclass
class MoDo(TwoBatchWeights):
    """Σ_t w_t g_t, w ← proj(w − γ (J J'ᵀ + ρ) w), J and J' of two batches (Chen et al.: MoDo, NeurIPS 2023; JMLR 2024).

    J' is that of a held-out batch, from which only w learns. λ weighs by T·λ_t; heads get their plain gradients.

    Attributes:
        weights_rate: γ.
        ridge: ρ, pulls the weights together.
    """

    weights_rate: Positive = 0.001
    ridge: NotNegative = 0.1

    def move(self, products: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """One projected step."""
        return projected_step(products, weights, self.weights_rate, self.ridge)
