"""SDMGrad: a common descent direction pulled towards the mean gradient, unbiased by two independent batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from palora_core.balancing.base import balancers
from palora_core.balancing.simplex_steps import TwoBatchWeights, onto_simplex
from palora_core.ranges import Count, NotNegative, Positive, Range

_TINY = 1e-8


def directed_weights(
    products: np.ndarray, weights: np.ndarray, pull: float, rate: float, momentum: float, steps: int
) -> np.ndarray:
    """w after some projected steps of gradient descent with momentum on ½‖Σ_t (w_t + c/T) g_t‖².

    Args:
        products: J J'ᵀ [T, T]; scaled by the mean length of the gradients as far as it tells.
        weights: where w begins.
        pull: c.
        rate: learning rate.
        momentum: of the descent.
        steps: how many.
    """
    scale = np.sqrt(products.diagonal().clip(0)).mean()
    matrix = products / (scale**2 + _TINY)
    velocity = np.zeros_like(weights)
    for _ in range(steps):
        velocity = momentum * velocity + matrix @ weights + pull * matrix.mean(1)
        weights = onto_simplex(weights - rate * velocity)
    return weights


@balancers.register("sdmgrad")
@dataclass
class SDMGrad(TwoBatchWeights):
    """(Σ_t w_t g_t + c g₀) / (1 + c), g₀ the mean gradient (Xiao, Ban, Ji: SDMGrad, NeurIPS 2023).

    w makes the direction short, as MGDA's does, by a few steps from where it was; the inner products are of the batch
    and a held-out one, from which only w learns. Constants as in the authors' code. λ weighs by T·λ_t (as the target
    direction it would be undone by w); heads get their plain gradients.

    Attributes:
        pull: c; 0 is MGDA's direction, a large one the mean gradient.
        weights_rate: learning rate of w.
        momentum: of w's steps.
        iterations: steps of w per pass.
    """

    pull: NotNegative = 0.3
    weights_rate: Positive = 5.0
    momentum: Annotated[float, Range(0, 1, open_high=True)] = 0.5
    iterations: Count = 20

    def move(self, products: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Some steps of descent from where w was."""
        return directed_weights(products, weights, self.pull, self.weights_rate, self.momentum, self.iterations)

    def weights_of(self, moved: np.ndarray, here: np.ndarray) -> np.ndarray:
        """(w + c/T) / (1 + c), over the tasks that are ``here``."""
        return (super().weights_of(moved, here) + self.pull * here / max(1, here.sum())) / (1 + self.pull)
