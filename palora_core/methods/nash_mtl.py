"""Nash-MTL: the tasks' Nash bargaining solution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.bargaining import NashMTL
from palora_core.balancing.base import Balancer
from palora_core.methods.base import Method, methods


@methods.register("nash_mtl")
@dataclass(frozen=True)
class NashMTLMethod(Method):
    """One network; weights with G α = 1/α, solved at every step."""

    title: ClassVar[str] = "Nash-MTL"
    source: ClassVar[str] = "Navon et al.: Multi-Task Learning as a Bargaining Game, ICML 2022 (arXiv 2202.01017)"

    balancer: Balancer = field(default_factory=NashMTL)
