"""IMTL-L: learnt scales that bring all losses to the same size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.losses import ImpartialLosses
from palora_core.methods.base import Method, methods


@methods.register("imtl_l")
@dataclass(frozen=True)
class ImpartialLossesMethod(Method):
    """One network trained on Σ_t e^(s_t) L_t − s_t with learnt scales s."""

    title: ClassVar[str] = "IMTL-L"
    source: ClassVar[str] = "Liu et al.: Towards Impartial Multi-Task Learning, ICLR 2021"

    balancer: Balancer = field(default_factory=ImpartialLosses)
