"""MoDo: a common descent direction from two independent batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.modo import MoDo
from palora_core.methods.base import Method, methods


@methods.register("modo")
@dataclass(frozen=True)
class MoDoMethod(Method):
    """One network; weights learnt from inner products of two batches' gradients."""

    title: ClassVar[str] = "MoDo"
    source: ClassVar[str] = (
        "Chen et al.: Three-Way Trade-Off in Multi-Objective Learning, NeurIPS 2023, JMLR 2024 (arXiv 2305.20057)"
    )

    balancer: Balancer = field(default_factory=MoDo)
