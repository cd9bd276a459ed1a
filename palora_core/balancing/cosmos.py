"""COSMOS's loss: the weighted sum, and a reward for losses that share out as λ says (Ruchte & Grabocka, ICDM 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.balancing.base import Balancer, Step, balancers
from palora_core.ranges import NotNegative


@balancers.register("cosmos")
@dataclass
class Cosmos(Balancer):
    """Σ_t d_t L_t − c · cos(L, d), with d = (1 − λ) / (T − 1); published with d = λ.

    The cosine asks for a *large* share of the losses where d_t is large and, where it prevails over the weighted sum,
    as it must for losses to follow d, decides what d means: with d = λ, at (1, 0) the first task comes out worst,
    against what λ means everywhere else here. d ∝ 1 − λ, for two tasks λ with its entries swapped, is the published
    method with another name for each preference. (To turn only the cosine round is no remedy: both terms then pull one
    way, most steps weigh a task negatively, and nothing is learnt.)

    Attributes:
        coefficient: c; 2 in the authors' code for MultiMNIST.
        direction: ``"reversed"``, a large λ_t makes task t good; ``"preference"``, d = λ, as published.
    """

    scalar: ClassVar[bool] = True
    coefficient: NotNegative = 2.0
    direction: Literal["reversed", "preference"] = "reversed"

    def backward(self, step: Step) -> Tensor:
        """One backward pass."""
        losses = torch.stack(list(step.losses))
        direction = step.preference.to(losses)
        if self.direction == "reversed" and len(losses) > 1:
            direction = (1 - direction) / (len(losses) - 1)
        seen = losses.detach().requires_grad_()
        # The cosine of the tasks that are here; that of large numbers is sought at their own scale.
        scale = seen.detach().abs().max().clamp_min(torch.finfo(seen.dtype).tiny)
        cosine = F.cosine_similarity(seen / scale, direction * (seen.detach() != 0), dim=0)
        total = direction.dot(seen) - self.coefficient * cosine
        (weights,) = torch.autograd.grad(total, seen)
        losses.backward(weights)
        return weights
