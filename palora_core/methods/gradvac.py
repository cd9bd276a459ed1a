"""Gradient Vaccine: gradients are turned until their cosines reach moving targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.surgery import GradVac
from palora_core.methods.base import Method, methods


@methods.register("gradvac")
@dataclass(frozen=True)
class GradVacMethod(Method):
    """One network; the sum of the gradients after pairwise alignment in random order."""

    title: ClassVar[str] = "GradVac"
    source: ClassVar[str] = "Wang, Tsvetkov, Firat, Cao: Gradient Vaccine, ICLR 2021 (arXiv 2010.05874)"

    balancer: Balancer = field(default_factory=GradVac)
