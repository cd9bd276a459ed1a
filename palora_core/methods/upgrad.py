"""UPGrad: the mean of gradients projected so that none conflicts with any task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.torchjd_weightings import UPGrad
from palora_core.methods.base import Method, methods


@methods.register("upgrad")
@dataclass(frozen=True)
class UPGradMethod(Method):
    """One network; the mean of the projections onto the dual cone of the gradients."""

    title: ClassVar[str] = "UPGrad"
    source: ClassVar[str] = "Quinton, Rey: Jacobian Descent for Multi-Objective Optimization, 2024 (arXiv 2406.16232)"

    balancer: Balancer = field(default_factory=UPGrad)
