"""MoDo: weights towards the common descent direction, unbiased by looking at two independent batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.balancing.simplex_steps import among, cross_products, of_sum_one, onto_simplex
from palora_core.ranges import NotNegative, Positive, check_ranges


def projected_step(products: np.ndarray, weights: np.ndarray, rate: float, ridge: float) -> np.ndarray:
    """The projection of w − γ (J J'ᵀ w + ρ w) onto the simplex."""
    return onto_simplex(weights - rate * (products @ weights + ridge * weights))


@balancers.register("modo")
@dataclass
class MoDo(GradientBalancer):
    """Σ_t w_t g_t, w ← proj(w − γ (J J'ᵀ + ρ) w), J and J' of two batches (Chen et al.: MoDo, NeurIPS 2023; JMLR 2024).

    J' is that of a held-out batch, from which only w learns. λ weighs by T·λ_t; heads get their plain gradients.

    Attributes:
        weights_rate: γ.
        ridge: ρ, pulls the weights together.
    """

    state: ClassVar[tuple[str, ...]] = ("learnt",)
    weights_rate: Positive = 0.001
    ridge: NotNegative = 0.1

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
        moved = among(
            here,
            np.array(self.learnt),
            products,
            lambda block, weights: projected_step(block, weights, self.weights_rate, self.ridge),
        )
        self.learnt = moved.tolist()
        scale = step.preference * len(step.losses)
        weights = torch.from_numpy(of_sum_one(moved, here)).to(scale) * scale
        self.combine(step, shared, specific, weights, scale)
        return weights
