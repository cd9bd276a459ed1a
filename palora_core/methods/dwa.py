"""Dynamic weight average: the slower a loss falls, the more it weighs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.dwa import DynamicWeightAverage
from palora_core.methods.base import Method, methods


@methods.register("dwa")
@dataclass(frozen=True)
class DynamicWeightAverageMethod(Method):
    """One network; weights T·softmax(r/2), r the ratio of each task's last two epoch losses."""

    title: ClassVar[str] = "DWA"
    source: ClassVar[str] = (
        "Liu, Johns, Davison: End-to-End Multi-Task Learning with Attention, CVPR 2019 (arXiv 1803.10704)"
    )
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"balancer.temperature": (1, 2, 5)}

    balancer: Balancer = field(default_factory=DynamicWeightAverage)
