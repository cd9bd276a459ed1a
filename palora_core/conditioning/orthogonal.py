"""LORPMAN's conditioning: low-rank adapters kept orthogonal between tasks (Chen & Kwok, ICML 2024)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from palora_core.adapters import LowRankLayer, insert_adapters
from palora_core.conditioning.base import conditionings
from palora_core.conditioning.lowrank import LowRank, LowRankModel
from palora_core.ranges import CountOrNone, Fraction, NotNegative, check_ranges


def adapter_cosine(layer: LowRankLayer, first: int, second: int) -> Tensor:
    """Squared cosine of two tasks' B A as vectors; 0 while one of them is zero.

    Inner products of the products come from their factors, ⟨B_u A_u, B_v A_v⟩ = Σ (B_uᵀB_v) ∘ (A_u A_vᵀ): matrices
    r × r instead of ones of the layer's size.
    """

    def inner(u: int, v: int) -> Tensor:
        return ((layer.adapter_b[u].t() @ layer.adapter_b[v]) * (layer.adapter_a[u] @ layer.adapter_a[v].t())).sum()

    square = inner(first, first) * inner(second, second)
    tiny = torch.finfo(square.dtype).tiny
    return torch.where(square > tiny, inner(first, second).square() / square.clamp_min(tiny), torch.zeros_like(square))


class OrthogonalModel(LowRankModel):
    """Low-rank adapters with a penalty on their overlap, and a main network that stops moving late in training."""

    kind: ClassVar[str] = "orthogonal_lowrank"

    def __init__(self, network: nn.Module, num_tasks: int, options: OrthogonalLowRank) -> None:
        super().__init__(network, num_tasks, options.adapter_lr_scale or None)
        self.options = options

    def regulariser(self) -> Tensor | None:
        """Coefficient × the mean squared cosine over sampled layers and pairs of tasks; None where it is off."""
        layers = [layer for layer in self.layers if layer.adapter_a.requires_grad]
        pairs = list(itertools.combinations(range(self.num_tasks), 2))
        if not self.options.coefficient or not layers or not pairs:
            return None
        layers = _sample(layers, self.options.sampled_layers)
        count = self.options.sampled_pairs
        terms = [adapter_cosine(layer, *pair) for layer in layers for pair in _sample(pairs, count)]
        return self.options.coefficient * torch.stack(terms).mean()

    def progress(self, tau: float) -> None:
        """Freeze everything but the adapters (and ``unfrozen``) from τ = ``freeze_at`` on."""
        kept = {id(p) for layer in self.layers for p in (layer.adapter_a, layer.adapter_b)}
        kept |= {id(p) for part in self.options.unfrozen_parts(self.network) for p in part.parameters()}
        moving = tau < self.options.freeze_at and not self.options.adapters_only
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in kept or moving)


def _sample(items: list, count: int) -> list:
    """``count`` of the items without replacement; all of them for 0."""
    if not 0 < count < len(items):
        return items
    return [items[i] for i in torch.randperm(len(items))[:count].tolist()]


@conditionings.register("orthogonal_lowrank")
@dataclass(frozen=True)
class OrthogonalLowRank(LowRank):
    """Low-rank adapters with stochastic orthogonal regularisation and a late freeze of the main network (LORPMAN).

    Attributes:
        rank: r.
        alpha: α; the adapters are scaled by α/r.
        conv_form: ``"flat"`` (the paper's tables) or ``"kernel"`` (fewer parameters).
        adapter_lr_scale: the adapters' learning rate over the base's; 0 means T.
        adapters_only: freeze everything else from the start.
        unfrozen: parts that are never frozen, dotted names separated by commas (``heads``).
        bounded: grouped convolutions get no more adapter per task than weight.
        coefficient: weight of the penalty.
        sampled_layers: layers that a step's penalty looks at; 0 means all.
        sampled_pairs: pairs of tasks per layer that a step's penalty looks at; 0 means all.
        freeze_at: training time τ from which only adapters are trained; 1 never.
    """

    coefficient: NotNegative = 1.0
    sampled_layers: CountOrNone = 4
    sampled_pairs: CountOrNone = 4
    freeze_at: Fraction = 0.8

    def __post_init__(self) -> None:
        check_ranges(self)

    def check(self, network: Callable[[], nn.Module]) -> None:
        """``unfrozen`` names parts of the network."""
        if self.unfrozen:
            self.unfrozen_parts(network())

    def condition(self, network: nn.Module, num_tasks: int) -> OrthogonalModel:
        """Insert adapters into ``network`` in place and wrap it."""
        model = OrthogonalModel(network, num_tasks, self)
        insert_adapters(
            network,
            num_tasks,
            self.rank,
            self.alpha,
            self.conv_form,
            model.active,
            self._selected(network),
            bounded=self.bounded,
        )
        model.progress(0.0)
        return model
