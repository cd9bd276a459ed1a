"""Smooth Tchebycheff scalarization: a smooth maximum of the weighted losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.losses import SmoothTchebycheff
from palora_core.methods.base import Method, methods


@methods.register("stch")
@dataclass(frozen=True)
class SmoothTchebycheffMethod(Method):
    """One network trained on μ log Σ_t exp(λ_t (L_t − z)/μ)."""

    title: ClassVar[str] = "STCH"
    source: ClassVar[str] = (
        "Lin et al.: Smooth Tchebycheff Scalarization for Multi-Objective Optimization, ICML 2024 (arXiv 2402.19078)"
    )
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"mu": (0.01, 0.1, 0.5, 1)}

    balancer: Balancer = field(default_factory=SmoothTchebycheff)
