"""FairGrad: α-fair progress of all tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.bargaining import FairGrad
from palora_core.balancing.base import Balancer
from palora_core.methods.base import Method, methods


@methods.register("fairgrad")
@dataclass(frozen=True)
class FairGradMethod(Method):
    """One network; weights with G w = w^(−1/α), α = 2."""

    title: ClassVar[str] = "FairGrad"
    source: ClassVar[str] = "Ban, Ji: Fair Resource Allocation in Multi-Task Learning, ICML 2024 (arXiv 2402.15638)"
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"fairness": (0.5, 1, 2, 5)}

    balancer: Balancer = field(default_factory=FairGrad)
