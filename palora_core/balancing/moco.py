"""MoCo: the common descent direction of averaged gradients, whose weights are learnt along the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from palora_core.balancing.averages import AveragedGradients
from palora_core.balancing.base import Step, balancers
from palora_core.balancing.simplex_steps import among
from palora_core.balancing.solvers import as_array
from palora_core.ranges import Fraction, NotNegative, check_ranges

_TINY = 1e-8


def softmax_step(gramian: np.ndarray, weights: np.ndarray, rate: float, ridge: float) -> np.ndarray:
    """softmax(w − γ (YYᵀ + ρ) w), the update in the authors' code."""
    moved = weights - rate * (gramian @ weights + ridge * weights)
    powers = np.exp(moved - moved.max())
    found: np.ndarray = powers / powers.sum()
    return found


@balancers.register("moco")
@dataclass
class MoCo(AveragedGradients):
    """Σ_t w_t y_t, y an average of L_t g_t/‖g_t‖ (Fernando et al.: MoCo, ICLR 2023).

    In step k: y_t ← y_t − β/k^σ (y_t − L_t g_t/‖g_t‖), then w ← softmax(w − γ/k^ς (YYᵀ + ρ) w). As in the authors'
    code gradients have the length of their loss, and heads get their plain gradients. λ weighs by T·λ_t.

    Attributes:
        gradient_rate: β.
        gradient_decay: σ.
        weights_rate: γ.
        weights_decay: ς.
        ridge: ρ, pulls the weights together.
    """

    state: ClassVar[tuple[str, ...]] = (*AveragedGradients.state, "weights_of_passes")
    gradient_rate: Fraction = 0.5
    gradient_decay: NotNegative = 0.5
    weights_rate: NotNegative = 0.1
    weights_decay: NotNegative = 0.5
    ridge: NotNegative = 0.0

    def __post_init__(self) -> None:
        check_ranges(self)

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """No averages, equal weights."""
        super().setup(num_tasks, device)
        self.weights_of_passes: list[list[float]] = []

    def backward(self, step: Step) -> Tensor:
        """One backward pass per task; the averages and the weights move; then the weighted sum."""
        values = step.values_from(0.0, "MoCo")
        shared, specific = step.task_gradients()
        norms = as_array(step.gramian(shared)).diagonal().clip(0) ** 0.5
        lengths = (values.double().cpu().numpy() / (norms + _TINY)).tolist()
        scaled = [[gradient * length for gradient in rows] for rows, length in zip(shared, lengths)]
        place, count = self.position, self.steps + 1
        here = values.cpu().numpy() != 0
        averages = self.averaged(scaled, here.tolist(), self.gradient_rate / count**self.gradient_decay)
        if place == len(self.weights_of_passes):
            self.weights_of_passes.append([1 / len(values)] * len(values))
        rate = self.weights_rate / count**self.weights_decay
        moved = among(
            here,
            np.array(self.weights_of_passes[place]),
            as_array(step.gramian(averages)),
            lambda gramian, weights: softmax_step(gramian, weights, rate, self.ridge),
        )
        self.weights_of_passes[place] = moved.tolist()
        scale = step.preference * len(step.losses)
        weights = torch.from_numpy(moved * here).to(scale) * scale
        self.combine(step, averages, specific, weights, scale)
        return weights
