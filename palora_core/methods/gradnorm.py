"""GradNorm: learnt loss weights that equalise gradient norms and training rates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.gradnorm import GradNorm
from palora_core.methods.base import Method, methods


@methods.register("gradnorm")
@dataclass(frozen=True)
class GradNormMethod(Method):
    """One network; weights learnt so that the tasks' gradient norms match their training rates."""

    title: ClassVar[str] = "GradNorm"
    source: ClassVar[str] = "Chen, Badrinarayanan, Lee, Rabinovich: GradNorm, ICML 2018 (arXiv 1711.02257)"

    balancer: Balancer = field(default_factory=GradNorm)
