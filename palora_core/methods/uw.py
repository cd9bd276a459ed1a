"""Uncertainty weighting: losses weighed by learnt task variances."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.losses import UncertaintyWeighting
from palora_core.methods.base import Method, methods


@methods.register("uw")
@dataclass(frozen=True)
class UncertaintyWeightingMethod(Method):
    """One network trained on Σ_t ½(e^(−s_t) L_t + s_t) with learnt log-variances s."""

    title: ClassVar[str] = "UW"
    source: ClassVar[str] = (
        "Kendall, Gal, Cipolla: Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018 (arXiv 1705.07115)"
    )

    balancer: Balancer = field(default_factory=UncertaintyWeighting)
