"""Gradient surgery as weights: PCGrad and GradVac add multiples of the other tasks' gradients to each task's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.balancing.learnt import Randomness, Stochastic
from palora_core.balancing.solvers import as_array, as_weights
from palora_core.ranges import Fraction


def projected_weights(gramian: np.ndarray, orders: Sequence[Sequence[int]]) -> np.ndarray:
    """PCGrad: weights [T] of Σ_i PC(g_i), where task i meets the others in the order ``orders[i]``.

    PC(g_i) is kept as coefficients c of the original gradients: ⟨PC(g_i), g_j⟩ = (Gc)_j.
    """
    total = np.zeros(len(gramian))
    for task, order in enumerate(orders):
        own = np.eye(len(gramian))[task]
        for other in order:
            product = gramian[other] @ own
            if other != task and product < 0 < gramian[other, other]:
                own[other] -= product / gramian[other, other]
        total += own
    return total


def gradvac_weights(
    gramian: np.ndarray, orders: Sequence[Sequence[int]], targets: np.ndarray, decay: float
) -> tuple[np.ndarray, np.ndarray]:
    """GradVac: weights [T] and the new targets [T, T], where task i meets the others in the order ``orders[i]``.

    Where the cosine φ of g_i's present form with g_j is below its target φ̂, g_i gains the multiple
    ‖g_i‖(φ̂√(1−φ²) − φ√(1−φ̂²)) / (‖g_j‖√(1−φ̂²)) of g_j, after which the cosine is φ̂. Then φ̂ ← (1−β)φ̂ + βφ.
    """
    targets, lengths = targets.copy(), np.sqrt(np.maximum(gramian.diagonal(), 0))
    total = np.zeros(len(gramian))
    for task, order in enumerate(orders):
        own = np.eye(len(gramian))[task]
        for other in order:
            length = np.sqrt(max(own @ gramian @ own, 0.0))
            if other == task or lengths[other] == 0 or length == 0:
                continue
            cosine = np.clip(gramian[other] @ own / (length * lengths[other]), -1, 1)
            wanted = targets[task, other]
            sine, wanted_sine = np.sqrt(1 - cosine**2), np.sqrt(max(1 - wanted**2, 1e-16))
            if cosine < wanted:
                own[other] += length * (wanted * sine - cosine * wanted_sine) / (lengths[other] * wanted_sine)
            targets[task, other] = (1 - decay) * wanted + decay * cosine
        total += own
    return total, targets


class _RandomOrder(Stochastic, GradientBalancer):
    """Base of balancers in which each task meets the others in a random order."""

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """A generator of its own."""
        self.randomness = Randomness()

    def orders(self, num_tasks: int) -> list[list[int]]:
        """A random order of the tasks for each task."""
        return [torch.randperm(num_tasks, generator=self.randomness.generator).tolist() for _ in range(num_tasks)]


@balancers.register("pcgrad")
@dataclass
class PCGrad(_RandomOrder):
    """Σ_t PC(g_t): g_t loses its component along each g_s with which it conflicts (Yu et al.: PCGrad, NeurIPS 2020).

    The sum over tasks, as in the paper; heads get their plain gradients.
    """

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """Weights of the sum of projected gradients."""
        return as_weights(projected_weights(as_array(gramian), self.orders(len(gramian))), gramian)


@balancers.register("gradvac")
@dataclass
class GradVac(_RandomOrder):
    """Σ_t of gradients turned until their cosines reach moving targets (Wang et al.: Gradient Vaccine, ICLR 2021).

    The targets are one [T, T] matrix for the whole network (the paper's "all_layer" setting), moved in every pass.

    Attributes:
        decay: β, how fast the targets follow the cosines.
    """

    state: ClassVar[tuple[str, ...]] = ("random", "targets")
    decay: Fraction = 0.01

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Targets 0: at first only conflicts are mended."""
        super().setup(num_tasks, device)
        self.targets = torch.zeros(num_tasks, num_tasks, dtype=torch.float64)

    def weights(self, gramian: Tensor, step: Step) -> Tensor:
        """Weights of the sum of turned gradients."""
        orders = self.orders(len(gramian))
        weights, targets = gradvac_weights(as_array(gramian), orders, self.targets.numpy(), self.decay)
        self.targets.copy_(torch.from_numpy(targets))
        return as_weights(weights, gramian)
