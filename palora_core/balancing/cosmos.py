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
    """Σ_t λ_t L_t − c · cos(L, d), with d ∝ 1 − λ; published with d = λ.

    With d = λ, in the paper as in its authors' code, a large λ_t asks for a *large* share of the losses,
    against the weighted sum beside it and against what λ means everywhere else here: at (1, 0) the first task comes out
    worst. With d ∝ 1 − λ, for two tasks λ with its entries swapped, both terms pull the same way.

    Attributes:
        coefficient: c; 8 for MultiMNIST and Census, 1 for UTKFace and CityScapes.
        direction: ``"reversed"``, d ∝ 1 − λ, a large λ_t makes task t good; ``"preference"``, d = λ, as published.
    """

    coefficient: float = 8.0
    direction: Literal["reversed", "preference"] = "reversed"

    def backward(self, step: Step) -> Tensor:
        """One backward pass."""
        losses = torch.stack(list(step.losses))
        preference = step.preference.to(losses)
        seen = losses.detach().requires_grad_()
        direction = preference if self.direction == "preference" else 1 - preference
        total = preference.dot(seen) - self.coefficient * F.cosine_similarity(seen, direction, dim=0)
        (weights,) = torch.autograd.grad(total, seen)
        losses.backward(weights)
        return weights
