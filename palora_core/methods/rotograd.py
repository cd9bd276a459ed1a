"""RotoGrad: gradient homogenisation in multi-task learning (Javaloy & Valera, ICLR 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.rotograd import RotoGrad
from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.rotations import Rotations
from palora_core.methods.base import Method, methods


@methods.register("rotograd")
@dataclass(frozen=True)
class RotoGradMethod(Method):
    """One network; every head reads rotated features, and task gradients at the features get one size."""

    title: ClassVar[str] = "RotoGrad"
    source: ClassVar[str] = "Javaloy, Valera: RotoGrad, ICLR 2022 (arXiv 2103.02631)"

    conditioning: Conditioning = field(default_factory=Rotations)
    balancer: Balancer = field(default_factory=RotoGrad)
