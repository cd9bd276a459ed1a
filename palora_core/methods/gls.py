"""Geometric loss strategy: the geometric mean of the losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.losses import GeometricMean
from palora_core.methods.base import Method, methods


@methods.register("gls")
@dataclass(frozen=True)
class GeometricMeanMethod(Method):
    """One network trained on Π_t L_t^λ_t."""

    title: ClassVar[str] = "GLS"
    source: ClassVar[str] = "Chennupati et al.: MultiNet++, CVPR workshops 2019 (arXiv 1904.08492)"

    balancer: Balancer = field(default_factory=GeometricMean)
