"""FAMO: all losses fall at the same relative rate, without task gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from palora_core.balancing.base import Balancer
from palora_core.balancing.famo import Famo
from palora_core.methods.base import Method, methods


@methods.register("famo")
@dataclass(frozen=True)
class FamoMethod(Method):
    """One network; weights learnt from how the last step changed the log-losses."""

    title: ClassVar[str] = "FAMO"
    source: ClassVar[str] = (
        "Liu, Feng, Stone, Liu: FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023 (arXiv 2306.03792)"
    )

    balancer: Balancer = field(default_factory=Famo)
