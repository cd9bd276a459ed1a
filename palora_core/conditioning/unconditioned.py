"""No conditioning: one network, one trade-off (STL, LS, UW, MGDA, …)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from palora_core.conditioning.base import Conditioning, ParetoModel, conditionings


@conditionings.register("unconditioned")
@dataclass(frozen=True)
class Unconditioned(Conditioning):
    """The plain network; λ only weighs its losses in training."""

    controllable: ClassVar[bool] = False

    def condition(self, network: nn.Module, num_tasks: int) -> ParetoModel:
        """Wrap ``network``; nothing in it depends on λ."""
        return ParetoModel(network, num_tasks)
