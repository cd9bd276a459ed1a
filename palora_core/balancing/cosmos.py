"""COSMOS's loss: the weighted sum, and a reward for losses that point along λ (Ruchte & Grabocka, ICDM 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.balancing.base import Balancer, Step, balancers


@balancers.register("cosmos")
@dataclass
class Cosmos(Balancer):
    """Σ_t λ_t L_t − c · cos(L, λ).

    Attributes:
        coefficient: c; 8 for MultiMNIST and Census, 1 for UTKFace and CityScapes.
    """

    coefficient: float = 8.0

    def backward(self, step: Step) -> Tensor:
        """One backward pass."""
        losses = torch.stack(list(step.losses))
        preference = step.preference.to(losses)
        seen = losses.detach().requires_grad_()
        total = preference.dot(seen) - self.coefficient * F.cosine_similarity(seen, preference, dim=0)
        (weights,) = torch.autograd.grad(total, seen)
        losses.backward(weights)
        return weights
