"""PBLoRA: one adapter per layer with a core between its factors that depends on λ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.pblora import PBLoRA
from palora_core.methods.base import Method, methods
from palora_core.samplers import Dirichlet, PreferenceSampler


@methods.register("pblora")
@dataclass(frozen=True)
class PBLoRAMethod(Method):
    """Bilinear adapters with a preference-aware core; λᵀL on one random preference a step."""

    title: ClassVar[str] = "PBLoRA"
    source: ClassVar[str] = "Lin et al.: PARM: Multi-Objective Test-Time Alignment, ICML 2025 (arXiv 2505.06274)"

    conditioning: Conditioning = field(default_factory=PBLoRA)
    sampler: PreferenceSampler = field(default_factory=Dirichlet)
