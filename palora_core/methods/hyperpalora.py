"""HyperPALoRA: a small hypernetwork makes one low-rank adapter per layer from λ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.hyperlora import HyperLoRA
from palora_core.methods.base import Method, methods
from palora_core.samplers import Dirichlet, PreferenceSampler


@methods.register("hyperpalora")
@dataclass(frozen=True)
class HyperPALoRA(Method):
    """Adapters made by a hypernetwork, with a contrastive spread loss; λᵀL on one random preference a step."""

    title: ClassVar[str] = "HyperPALoRA"
    source: ClassVar[str] = (
        "HyperPALoRA: Parameter-Efficient Pareto Hypernetworks via Preference-Based Diverse Low-Rank Adaptations, "
        "NeurIPS 2025 workshop (OpenReview VXlm0zf2a5)"
    )

    conditioning: Conditioning = field(default_factory=HyperLoRA)
    sampler: PreferenceSampler = field(default_factory=Dirichlet)
