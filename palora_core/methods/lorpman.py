"""LORPMAN: efficient Pareto manifold learning with low-rank structure (Chen & Kwok, ICML 2024)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.orthogonal import OrthogonalLowRank
from palora_core.methods.base import Method, methods
from palora_core.samplers import Dirichlet, PreferenceSampler


def _adapters() -> OrthogonalLowRank:
    # B A unscaled, as the paper has it, hence alpha = rank; a kernel is flattened to one row per output channel.
    return OrthogonalLowRank(rank=8, alpha=8.0, conv_form="kernel", adapter_lr_scale=1.0)


@methods.register("lorpman")
@dataclass(frozen=True)
class LORPMAN(Method):
    """A main network and one low-rank matrix per task and layer, kept orthogonal; the main network freezes late."""

    title: ClassVar[str] = "LORPMAN"
    source: ClassVar[str] = "Chen, Kwok: Efficient Pareto Manifold Learning with Low-Rank Structure, ICML 2024"

    conditioning: Conditioning = field(default_factory=_adapters)
    sampler: PreferenceSampler = field(default_factory=Dirichlet)
    num_preferences: int = 4
