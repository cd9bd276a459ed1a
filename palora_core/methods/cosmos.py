"""COSMOS: conditioned one-shot multi-objective search (Ruchte & Grabocka, ICDM 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.cosmos import Cosmos
from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.inputconcat import InputConcat
from palora_core.methods.base import Method, methods
from palora_core.samplers import Dirichlet, PreferenceSampler


@methods.register("cosmos")
@dataclass(frozen=True)
class COSMOS(Method):
    """λ as T more inputs of the first layer, dᵀL − c·cos(L, d) on one random preference a step, d ∝ 1 − λ.

    The paper has d = λ, which turns the meaning of λ round: ``--set direction=preference``. Its authors' settings for
    MultiMNIST are the defaults, but for their 100 epochs.
    """

    title: ClassVar[str] = "COSMOS"
    source: ClassVar[str] = "Ruchte, Grabocka: Scalable Pareto Front Approximation, ICDM 2021 (arXiv 2103.13392)"
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"coefficient": (1, 2, 5, 8)}

    conditioning: Conditioning = field(default_factory=InputConcat)
    balancer: Balancer = field(default_factory=Cosmos)
    sampler: PreferenceSampler = field(default_factory=lambda: Dirichlet(1.2))
