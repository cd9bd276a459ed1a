"""Random loss weighting: a baseline that draws new weights at every step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.losses import RandomWeights
from palora_core.methods.base import Method, methods


@methods.register("rlw")
@dataclass(frozen=True)
class RandomWeightsMethod(Method):
    """One network; weights are the softmax of T standard normal numbers, drawn anew in every pass."""

    title: ClassVar[str] = "RLW"
    source: ClassVar[str] = (
        "Lin, Ye, Zhang, Tsang: Reasonable Effectiveness of Random Weighting, TMLR 2022 (arXiv 2111.10603)"
    )

    balancer: Balancer = field(default_factory=RandomWeights)
