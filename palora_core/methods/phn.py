"""PHN: Pareto hypernetworks (Navon, Shamsian, Chechik, Fetaya, ICLR 2021), with both of their solvers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.epo import EPO
from palora_core.conditioning.base import Conditioning
from palora_core.conditioning.hypernetwork import HyperNetwork
from palora_core.methods.base import Method, methods
from palora_core.samplers import Dirichlet, PreferenceSampler


@methods.register("phn")
@dataclass(frozen=True)
class PHN(Method):
    """A hypernetwork makes the network's parameters from λ; λᵀL on one random preference a step."""

    title: ClassVar[str] = "PHN-LS"
    source: ClassVar[str] = "Navon et al.: Learning the Pareto Front with Hypernetworks, ICLR 2021 (arXiv 2010.04104)"

    conditioning: Conditioning = field(default_factory=HyperNetwork)
    sampler: PreferenceSampler = field(default_factory=Dirichlet)


@methods.register("phn_epo")
@dataclass(frozen=True)
class PHNWithEPO(PHN):
    """The same hypernetwork trained with EPO: linear programs on the task gradients of all its parameters."""

    title: ClassVar[str] = "PHN-EPO"

    balancer: Balancer = field(default_factory=EPO)
