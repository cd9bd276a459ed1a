"""PCGrad: conflicting gradients are projected onto each other's normal planes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.surgery import PCGrad
from palora_core.methods.base import Method, methods


@methods.register("pcgrad")
@dataclass(frozen=True)
class PCGradMethod(Method):
    """One network; the sum of the gradients after pairwise projection in random order."""

    title: ClassVar[str] = "PCGrad"
    source: ClassVar[str] = "Yu et al.: Gradient Surgery for Multi-Task Learning, NeurIPS 2020 (arXiv 2001.06782)"

    balancer: Balancer = field(default_factory=PCGrad)
