"""CAGrad: near the mean gradient, the direction best for the worst-off task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.descent import CAGrad
from palora_core.methods.base import Method, methods


@methods.register("cagrad")
@dataclass(frozen=True)
class CAGradMethod(Method):
    """One network; c = 0.4."""

    title: ClassVar[str] = "CAGrad"
    source: ClassVar[str] = (
        "Liu, Liu, Jin, Stone, Liu: Conflict-Averse Gradient Descent, NeurIPS 2021 (arXiv 2110.14048)"
    )
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"radius": (0.2, 0.4, 0.6, 0.8)}

    balancer: Balancer = field(default_factory=CAGrad)
