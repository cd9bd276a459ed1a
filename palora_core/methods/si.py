"""Scale-invariant scalarization: the mean of the log-losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.losses import ScaleInvariant
from palora_core.methods.base import Method, methods


@methods.register("si")
@dataclass(frozen=True)
class ScaleInvariantMethod(Method):
    """One network trained on Σ_t λ_t log L_t; a loss's unit does not matter."""

    title: ClassVar[str] = "SI"
    source: ClassVar[str] = (
        "baseline of Navon et al.: Multi-Task Learning as a Bargaining Game, ICML 2022 (arXiv 2202.01017)"
    )

    balancer: Balancer = field(default_factory=ScaleInvariant)
