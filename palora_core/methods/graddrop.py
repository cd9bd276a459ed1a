"""GradDrop: each element of the gradient keeps one sign, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.graddrop import GradDrop
from palora_core.methods.base import Method, methods


@methods.register("graddrop")
@dataclass(frozen=True)
class GradDropMethod(Method):
    """One network; the mean of the gradients after sign dropout."""

    title: ClassVar[str] = "GradDrop"
    source: ClassVar[str] = "Chen et al.: Just Pick a Sign: Gradient Sign Dropout, NeurIPS 2020 (arXiv 2010.06808)"

    balancer: Balancer = field(default_factory=GradDrop)
