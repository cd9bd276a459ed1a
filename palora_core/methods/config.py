"""ConFIG: one direction with the same cosine to every task's gradient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.config import ConFIG
from palora_core.methods.base import Method, methods


@methods.register("config")
@dataclass(frozen=True)
class ConFIGMethod(Method):
    """One network; the direction of equal cosines, as long as the gradients agree on."""

    title: ClassVar[str] = "ConFIG"
    source: ClassVar[str] = (
        "Liu, Chu, Thuerey: Towards Conflict-free Training of Physics Informed Networks, ICLR 2025 (arXiv 2408.11104)"
    )

    balancer: Balancer = field(default_factory=ConFIG)
