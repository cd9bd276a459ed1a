"""COSMOS's loss: the weighted sum, and a reward for losses that point along λ (Ruchte & Grabocka, ICDM 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.balancing.base import Balancer, Step, balancers


@balancers.register("cosmos")
@dataclass
class Cosmos(Balancer):
    """Σ_t λ_t L_t − c · cos(L, d), in the paper d = λ.

    With d = λ a large λ_t asks for a *large* share of the losses, against the weighted sum and against what λ means
    everywhere else here: at (1, 0) the first task comes out worst. ``reversed`` takes d ∝ 1 − λ instead, for two tasks
    λ with its entries swapped, so that both terms pull the same way.

    Attributes:
        coefficient: c; 8 for MultiMNIST and Census, 1 for UTKFace and CityScapes.
        direction: ``"preference"`` (the paper's) or ``"reversed"``.
    """

    coefficient: float = 8.0
    direction: Literal["preference", "reversed"] = "preference"

    def backward(self, step: Step) -> Tensor:
        """One backward pass."""
        losses = torch.stack(list(step.losses))
        preference = step.preference.to(losses)
        seen = losses.detach().requires_grad_()
        direction = 1 - preference if self.direction == "reversed" else preference
        total = preference.dot(seen) - self.coefficient * F.cosine_similarity(seen, direction, dim=0)
        (weights,) = torch.autograd.grad(total, seen)
        losses.backward(weights)
        return weights
