"""ExcessMTL: tasks that could still gain most weigh most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.excess_mtl import ExcessMTL
from palora_core.methods.base import Method, methods


@methods.register("excess_mtl")
@dataclass(frozen=True)
class ExcessMTLMethod(Method):
    """One network; losses weighed by estimates of their excess risks."""

    title: ClassVar[str] = "ExcessMTL"
    source: ClassVar[str] = "He et al.: Robust Multi-Task Learning with Excess Risks, ICML 2024 (arXiv 2402.02009)"
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"robust_rate": (0.001, 0.01, 0.1, 1)}

    balancer: Balancer = field(default_factory=ExcessMTL)
