"""SDMGrad: a common descent direction pulled towards the mean gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.sdmgrad import SDMGrad
from palora_core.methods.base import Method, methods


@methods.register("sdmgrad")
@dataclass(frozen=True)
class SDMGradMethod(Method):
    """One network; MGDA's direction from two batches, with the mean gradient in it."""

    title: ClassVar[str] = "SDMGrad"
    source: ClassVar[str] = (
        "Xiao, Ban, Ji: Direction-oriented Multi-objective Learning, NeurIPS 2023 (arXiv 2305.18409)"
    )
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"pull": (0.1, 0.3, 0.6, 1)}

    balancer: Balancer = field(default_factory=SDMGrad)
