"""DB-MTL: gradients of the logarithms of the losses, averaged over steps, all as long as the longest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from palora_core.balancing.averages import AveragedGradients
from palora_core.balancing.base import Step, balancers
from palora_core.ranges import NotNegative, Range, check_ranges

_TINY = 1e-8


@balancers.register("db_mtl")
@dataclass
class DBMTL(AveragedGradients):
    """Dual-balancing: Σ_t max_s ‖y_s‖ / ‖y_t‖ · y_t, y an average of ∇log L_t (Lin et al.: DB-MTL, 2023).

    y_t ← ∇log L_t + β/k^σ (y_t − ∇log L_t) in step k. Heads get the gradients of the logarithms. λ weighs by T·λ_t.

    Attributes:
        forgetting: β, how much of the average is kept.
        decay: σ, how fast that falls with the steps.
    """

    forgetting: Annotated[float, Range(0, 1, open_high=True)] = 0.9
    decay: NotNegative = 0.0

    def __post_init__(self) -> None:
        check_ranges(self)

    def backward(self, step: Step) -> Tensor:
        """One backward pass per task, then their balanced sum."""
        values = step.values_from(0.0, "DB-MTL")
        here = values != 0
        inverse = here / (values + _TINY)
        shared, specific = step.task_gradients()
        logarithms = [[gradient * factor for gradient in rows] for rows, factor in zip(shared, inverse)]
        share = 1 - self.forgetting / (self.steps + 1) ** self.decay
        averages = self.averaged(logarithms, here.tolist(), share)
        norms = step.gramian(averages).diagonal().clamp_min(0).sqrt().to(values)
        if not torch.isfinite(norms).all():
            raise FloatingPointError("the norms of the task gradients are not finite")
        used = here & (norms > 0)
        longest = torch.where(used, norms, 0).max()
        balance = torch.where(used, longest / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0)
        scale = step.preference * len(step.losses)
        weights = balance * scale
        self.combine(step, averages, specific, weights, inverse * scale)
        return weights
