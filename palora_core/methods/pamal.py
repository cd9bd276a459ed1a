"""PaMaL: Pareto manifold learning with ensembles of networks (Dimitriadis, Frossard, Fleuret, ICML 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.multi_forward import MultiForward
from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.ensemble import Ensemble
from palora_core.methods.base import Method, methods
from palora_core.samplers import Dirichlet, PreferenceSampler


@methods.register("pamal")
@dataclass(frozen=True)
class PaMaL(Method):
    """T members of every parameter mixed by λ, λᵀL on M random preferences a step, optional order penalty.

    The paper's settings (M / coefficient / concentration): MultiMNIST 4/0/1, three digits 3/2/1, Census 2/5/1, UTKFace
    3/1/2 and CityScapes 3/1/7, the last two with normalised gradients.
    """

    title: ClassVar[str] = "PaMaL"
    source: ClassVar[str] = "Dimitriadis, Frossard, Fleuret: Pareto Manifold Learning, ICML 2023 (arXiv 2210.09759)"
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"coefficient": (0, 1, 5, 10)}

    conditioning: Conditioning = field(default_factory=Ensemble)
    balancer: Balancer = field(default_factory=MultiForward)
    sampler: PreferenceSampler = field(default_factory=Dirichlet)
    num_preferences: int = 4
