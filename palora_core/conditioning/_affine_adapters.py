"""Adapters with a part for all λ: W(λ) = W + C + Σ_t λ_t Δ_t, C and Δ made of factors that layers say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from palora_core.adapters import LowRankLayer, insert_adapters
from palora_core.adapters.layer import is_opaque
from palora_core.conditioning._factors import places_of
from palora_core.conditioning._merged import AffineTensor, is_channels_last, merged_passes
from palora_core.conditioning.base import Pass
from palora_core.conditioning.lowrank import LowRankModel
from palora_core.errors import UserError
from palora_core.machine import full_precision
from palora_core.swapping import swap


class AffineLayer(LowRankLayer):
    """Mixin: A [n, r, columns] and B [n, rows, r] of the base class, and further parameters named in ``further``."""

    obstacle = "its adapters have a part that all preferences share"
    further: ClassVar[tuple[str, ...]] = ()

    def common(self) -> Tensor:
        """C, shaped like the weight."""
        raise NotImplementedError

    def mixed_weight(self, preference: Tensor) -> Tensor:
        """W + C + Σ_t λ_t Δ_t for λ [T], shaped like W."""
        base = self.base_weight
        with full_precision(base):
            deltas = self.deltas()
            return base + (self.common() + torch.tensordot(preference.to(deltas), deltas, 1)).to(base.dtype)

    def plain_(self, weight: Tensor) -> None:
        """Turn this layer back, in place, into the class it came from, with ``weight`` as its weight."""
        names = self.further
        super().plain_(weight)
        for name in names:
            delattr(self, name)


class AffineModel(LowRankModel):
    """A network whose layers carry such adapters."""

    def affine_layers(self) -> list[AffineLayer]:
        """The adapted layers, one of those that share a weight."""
        return [cast(AffineLayer, tied[0]) for tied in self.groups()]

    def adapter_parameters(self) -> list[nn.Parameter]:
        """The factors, and what layers have beside them."""
        further = [getattr(layer, name) for layer in self.affine_layers() for name in layer.further]
        return [*super().adapter_parameters(), *further]

    def basis(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Every adapted weight: (W + C, Δ [T, *W.shape])."""
        names = {layer: name for name, layer in self.network.named_modules()}
        layers = [cast(AffineLayer, layer) for layer in self.layers]
        return {one.weight_name(names[one]): (one.base_weight + one.common(), one.deltas()) for one in layers}

    def _passes(self, dtype: torch.dtype | None, once: bool) -> AbstractContextManager[Callable[[Any], Pass]]:
        """On merged weights; autograd knows the way from C and Δ to their factors, once a step."""
        return merged_passes(self, lambda: [AffineWeight(tied) for tied in self.groups()], dtype, once)


class AffineWeight(AffineTensor):
    """W + C + Σ_t λ_t Δ_t of one layer."""

    matrix: ClassVar[bool] = True

    def __init__(self, tied: Sequence[LowRankLayer]) -> None:
        layer = cast(AffineLayer, tied[0])
        base = layer.base_weight
        sources = [base, layer.adapter_a, layer.adapter_b, *(getattr(layer, name) for name in layer.further)]
        super().__init__(places_of(tied), sources, base + layer.common(), layer.deltas(), is_channels_last(base))


def insert_affine(
    model: AffineModel,
    mixin: type[AffineLayer],
    count: int,
    rank: int,
    alpha: float,
    make: Callable[[LowRankLayer], Mapping[str, Tensor]],
    bounded: bool = True,
) -> None:
    """Give every linear and convolution layer of a model A [n, r, …] and B [n, …, r] in kernel form, and what it has
    beside them.

    Args:
        model: what gets them.
        mixin: of the layers.
        count: n.
        rank: r.
        alpha: the factors are scaled by alpha / r.
        make: layer with factors → its further parameters, by name; drawn once for layers that share a weight.
        bounded: grouped convolutions get no more adapter than weight.

    Raises:
        UserError: a quantised weight, which nothing can be added to.
    """
    adapted = insert_adapters(model.network, count, rank, alpha, "kernel", model.active, bounded=bounded)
    made: dict[int, dict[str, nn.Parameter]] = {}
    for layer in adapted:
        layer.unswap_()
        if is_opaque(layer):
            raise UserError(f"{model.kind} adds to the weights of layers, and a quantised one cannot be added to.")
        swapped = swap(layer, mixin)
        own = made.get(id(layer.base_weight))
        if own is None:
            own = made[id(layer.base_weight)] = {name: nn.Parameter(t) for name, t in make(swapped).items()}
        for name, parameter in own.items():
            setattr(swapped, name, parameter)
