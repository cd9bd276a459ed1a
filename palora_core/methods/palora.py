"""PaLoRA: Pareto low-rank adapters (Dimitriadis, Frossard, Fleuret, ICLR 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.lowrank import LowRank
from palora_core.methods.base import Method, methods
from palora_core.samplers import Annealed, PreferenceSampler


@methods.register("palora")
@dataclass(frozen=True)
class PaLoRA(Method):
    """Low-rank adapters per task (Eq. 1), λᵀL on M preferences a step, annealed deterministic schedule (Eq. 2)."""

    title: ClassVar[str] = "PaLoRA"
    source: ClassVar[str] = "Dimitriadis, Frossard, Fleuret: Pareto Low-Rank Adapters, ICLR 2025 (arXiv 2407.08056)"
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"alpha": (1, 2, 5, 10), "temperature": (0.1, 0.2, 0.5, 1)}

    conditioning: Conditioning = field(default_factory=LowRank)
    sampler: PreferenceSampler = field(default_factory=Annealed)
    num_preferences: int = 5
