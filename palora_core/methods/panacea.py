"""Panacea: one SVD-shaped adapter per layer, λ among its singular values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.panacea import Panacea
from palora_core.methods.base import Method, methods
from palora_core.samplers import Dirichlet, PreferenceSampler


@methods.register("panacea")
@dataclass(frozen=True)
class PanaceaMethod(Method):
    """λ as singular values of one adapter per layer; λᵀL on one random preference a step."""

    title: ClassVar[str] = "Panacea"
    source: ClassVar[str] = (
        "Zhong et al.: Panacea: Pareto Alignment via Preference Adaptation, NeurIPS 2024 (2402.02030)"
    )

    conditioning: Conditioning = field(default_factory=Panacea)
    sampler: PreferenceSampler = field(default_factory=Dirichlet)
