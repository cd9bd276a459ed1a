"""ExcessMTL: tasks that are far from the best they could be weigh more, as the curvature of their loss tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.balancing.base import GradientBalancer, Step, balancers
from palora_core.ranges import Positive, check_ranges

_TINY = 1e-7


@balancers.register("excess_mtl")
@dataclass
class ExcessMTL(GradientBalancer):
    """Σ_t w_t L_t, w_t ← w_t exp(η e_t/e_t(0)), Σw = T, e_t = g_tᵀ diag(Σ g_t²)^(−½) g_t (He et al.: ICML 2024).

    e_t estimates how much of a loss is left to be gained, in units of what it was at first; the first pass of a task
    only measures. Gradients are those of the pass's shared leaves (for PaLoRA the merged weights at λ); the sums of
    their squares, over all passes, have the size of T networks. Heads follow the weighted losses. λ weighs by T·λ_t.

    Attributes:
        robust_rate: η.
    """

    state: ClassVar[tuple[str, ...]] = ("logarithms", "first", "squares")
    robust_rate: Positive = 0.01

    def __post_init__(self) -> None:
        check_ranges(self)

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Equal weights; nothing measured."""
        self.logarithms, self.first = [0.0] * num_tasks, [0.0] * num_tasks
        self.squares: list[list[Tensor]] = []

    def backward(self, step: Step) -> Tensor:
        """One backward pass per task."""
        shared, specific = step.task_gradients()
        excess = self._excess(shared)
        here = step.values() != 0
        for task, value in enumerate(excess):
            if not here[task]:
                continue
            if self.first[task] > 0:
                self.logarithms[task] += self.robust_rate * value / self.first[task]
            else:
                self.first[task] = value
        known = torch.tensor(self.logarithms, dtype=torch.float64)
        normalised = known - known.logsumexp(0)  # kept small: it grows in every pass
        self.logarithms = normalised.tolist()
        scale = step.preference * len(step.losses)
        weights = len(known) * normalised.exp().to(scale) * scale
        self.combine(step, shared, specific, weights, weights)
        return weights

    def _excess(self, shared: list[list[Tensor]]) -> list[float]:
        """e_t of every task, after its squares are added."""
        if not self.squares:
            self.squares = [[torch.zeros_like(gradient) for gradient in rows] for rows in shared]
        found: list[Tensor] = []
        totals: list[list[Tensor]] = []
        for sums, rows in zip(self.squares, shared):
            own = [total.to(gradient) + gradient.square() for total, gradient in zip(sums, rows)]
            parts = [(g.square() / (total + _TINY).sqrt()).double().sum() for g, total in zip(rows, own)]
            found.append(torch.stack(parts).sum() if parts else torch.zeros((), dtype=torch.float64))
            totals.append(own)
        excess = torch.stack(found)
        if not torch.isfinite(excess).all():
            raise FloatingPointError("the squares of the task gradients are not finite")
        self.squares = totals
        return excess.tolist()
