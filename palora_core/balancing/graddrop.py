"""GradDrop: every element of the gradient keeps one sign, drawn with its purity as the odds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from palora_core.balancing.base import Balancer, Step, accumulate_gradient, balancers
from palora_core.balancing.learnt import Randomness, Stochastic
from palora_core.ranges import Fraction


def sign_dropped(rows: Tensor, uniform: Tensor) -> Tensor:
    """The tasks' gradients [T, …] with the elements of the losing sign set to zero.

    Args:
        rows: task gradients [T, …].
        uniform: draws in [0, 1), shaped like one gradient; the positive sign wins where they are below the purity.
    """
    purity = (1 + rows.sum(0) / rows.abs().sum(0).clamp_min(torch.finfo(rows.dtype).tiny)) / 2
    positive = purity > uniform
    return torch.where(positive, rows.clamp_min(0), rows.clamp_max(0))


@balancers.register("graddrop")
@dataclass
class GradDrop(Stochastic, Balancer):
    """Mean of the task gradients after sign dropout (Chen et al.: Just Pick a Sign, NeurIPS 2020).

    Elements are those of the pass's leaves: for PaLoRA the merged weights, from which the adapters' gradients follow.
    Gradients enter with factors T·λ_t; the mean over tasks and the heads' 1/T are the authors' scale.

    Attributes:
        leak: share of every gradient that passes whatever its sign.
    """

    leak: Fraction = 0.0

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """A generator on the gradients' device, which draws one number per element."""
        self.randomness = Randomness(device)

    def backward(self, step: Step) -> None:
        """Drop, average and accumulate, leaf by leaf."""
        shared, specific = step.task_gradients()
        weights = step.preference.tolist()  # T·λ_t of the method, 1/T of the mean
        for leaf, rows in zip(step.forward_pass.shared, zip(*shared)):
            stacked = torch.stack([row * weight for row, weight in zip(rows, weights)])
            draws = torch.rand(leaf.shape, generator=self.randomness.generator, device=leaf.device, dtype=leaf.dtype)
            kept = sign_dropped(stacked, draws)
            accumulate_gradient(leaf, torch.lerp(kept, stacked, self.leak).sum(0))
        for weight, leaves, gradients in zip(weights, step.forward_pass.specific, specific):
            for leaf, gradient in zip(leaves, gradients):
                accumulate_gradient(leaf, gradient, weight)
