"""PaDoRA: PaLoRA with weight-decomposed adapters (DoRA; Liu et al., ICML 2024)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.dora import DoRA
from palora_core.methods.base import Method, methods
from palora_core.samplers import Annealed, PreferenceSampler


def _adapters() -> DoRA:
    return DoRA(alpha=4.0)


@methods.register("padora")
@dataclass(frozen=True)
class PaDoRA(Method):
    """PaLoRA whose adapters learn a magnitude per output beside their low-rank direction; α = r, as in its release."""

    title: ClassVar[str] = "PaDoRA"
    source: ClassVar[str] = "Dimitriadis et al.: Pareto Low-Rank Adapters; Liu et al.: DoRA (arXiv 2402.09353)"

    conditioning: Conditioning = field(default_factory=_adapters)
    sampler: PreferenceSampler = field(default_factory=Annealed)
    num_preferences: int = 5
