"""PBI: down along the ray of λ, and not far from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.pbi import PenaltyBoundaryIntersection
from palora_core.methods.base import Method, methods


@methods.register("pbi")
@dataclass(frozen=True)
class PenaltyBoundaryIntersectionMethod(Method):
    """One network trained on the penalised distance along a ray of the objectives."""

    title: ClassVar[str] = "PBI"
    source: ClassVar[str] = (
        "Zhang, Li: MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition, IEEE TEVC 2007"
    )
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"penalty": (0.5, 1, 2, 5)}

    balancer: Balancer = field(default_factory=PenaltyBoundaryIntersection)
