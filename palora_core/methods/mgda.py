"""MGDA: the shortest convex combination of the task gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.descent import MGDA
from palora_core.methods.base import Method, methods


@methods.register("mgda")
@dataclass(frozen=True)
class MGDAMethod(Method):
    """One network; the min-norm point of the gradients' convex hull."""

    title: ClassVar[str] = "MGDA"
    source: ClassVar[str] = (
        "Sener, Koltun: Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018 (arXiv 1810.04650)"
    )

    balancer: Balancer = field(default_factory=MGDA)
