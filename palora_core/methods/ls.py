"""Linear scalarization: one network for one fixed λ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from palora_core.methods.base import Method, methods


@methods.register("ls")
@dataclass(frozen=True)
class LinearScalarization(Method):
    """One network trained on λᵀL; λ is the centre unless ``--set preference=…`` says otherwise."""

    title: ClassVar[str] = "LS"
    source: ClassVar[str] = "folklore; the weighted sum of multi-objective optimisation"
