"""Aligned-MTL: the gradients' principal components are made equally long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.torchjd_weightings import AlignedMTL
from palora_core.methods.base import Method, methods


@methods.register("aligned_mtl")
@dataclass(frozen=True)
class AlignedMTLMethod(Method):
    """One network; the gradient matrix's singular values are all set to the smallest."""

    title: ClassVar[str] = "Aligned-MTL"
    source: ClassVar[str] = (
        "Senushkin et al.: Independent Component Alignment for Multi-Task Learning, CVPR 2023 (arXiv 2305.19000)"
    )

    balancer: Balancer = field(default_factory=AlignedMTL)
