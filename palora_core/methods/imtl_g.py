"""IMTL-G: a direction with equal projections on all task gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.torchjd_weightings import ImpartialGradients
from palora_core.methods.base import Method, methods


@methods.register("imtl_g")
@dataclass(frozen=True)
class ImpartialGradientsMethod(Method):
    """One network; the impartial combination of the task gradients."""

    title: ClassVar[str] = "IMTL-G"
    source: ClassVar[str] = "Liu et al.: Towards Impartial Multi-Task Learning, ICLR 2021"

    balancer: Balancer = field(default_factory=ImpartialGradients)
