"""SDMGrad: a common descent direction pulled towards the mean gradient, unbiased by two independent batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.balancing.simplex_steps import among, cross_products, of_sum_one, onto_simplex
from palora_core.ranges import Count, NotNegative, Positive, Range, check_ranges

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
class SDMGrad(GradientBalancer):
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

    state: ClassVar[tuple[str, ...]] = ("learnt",)
    pull: NotNegative = 0.3
    weights_rate: Positive = 5.0
    momentum: Annotated[float, Range(0, 1, open_high=True)] = 0.5
    iterations: Count = 20

    def __post_init__(self) -> None:
        check_ranges(self)

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Equal weights."""
        self.learnt = [1 / num_tasks] * num_tasks

    def backward(self, step: Step) -> Tensor:
        """One backward pass per task and batch."""
        shared, specific = step.task_gradients()
        products = cross_products(self, step, shared)
        here = step.values().cpu().numpy() != 0
        options = (self.pull, self.weights_rate, self.momentum, self.iterations)
        moved = among(here, np.array(self.learnt), products, lambda part, own: directed_weights(part, own, *options))
        self.learnt = moved.tolist()
        directed = (of_sum_one(moved, here) + self.pull * here / max(1, here.sum())) / (1 + self.pull)
        scale = step.preference * len(step.losses)
        weights = torch.from_numpy(directed).to(scale) * scale
        self.combine(step, shared, specific, weights, scale)
        return weights
