"""DB-MTL: logarithms of the losses, and gradients of one length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.db_mtl import DBMTL
from palora_core.methods.base import Method, methods


@methods.register("db_mtl")
@dataclass(frozen=True)
class DBMTLMethod(Method):
    """One network; averaged gradients of the log-losses, all as long as the longest."""

    title: ClassVar[str] = "DB-MTL"
    source: ClassVar[str] = "Lin et al.: Dual-Balancing for Multi-Task Learning, 2023 (arXiv 2308.12029)"
    decisive: ClassVar[Mapping[str, tuple[float, ...]]] = {"forgetting": (0, 0.1, 0.5, 0.9)}

    balancer: Balancer = field(default_factory=DBMTL)
