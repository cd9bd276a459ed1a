"""MoCo: the common descent direction of averaged gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.moco import MoCo
from palora_core.methods.base import Method, methods


@methods.register("moco")
@dataclass(frozen=True)
class MoCoMethod(Method):
    """One network; weights of averaged gradients learnt along the way."""

    title: ClassVar[str] = "MoCo"
    source: ClassVar[str] = (
        "Fernando et al.: Mitigating Gradient Bias in Multi-objective Learning, ICLR 2023 (OpenReview dLAYGdKTi2)"
    )

    balancer: Balancer = field(default_factory=MoCo)
