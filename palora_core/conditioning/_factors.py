"""W + α/r · Σ_t λ_t B_t A_t as a leaf of a training step: by its T deltas, or, for many tasks, by its factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.adapters import LowRankLayer
from palora_core.conditioning._merged import (
    AffineTensor,
    MergedTensor,
    Place,
    flattened,
    inner_products,
    is_channels_last,
    shaped,
)


class LowRankWeight(MergedTensor):
    """A layer's weight with what both ways share: the sources W, A and B, and the chain rule of one pass."""

    matrix: ClassVar[bool] = True

    def __init__(self, tied: Sequence[LowRankLayer]) -> None:
        self.layer = layer = tied[0]
        super().__init__(places_of(tied), [layer.base_weight, layer.adapter_a, layer.adapter_b])

    @torch.no_grad()
    def pull(self, preference: Tensor, gradient: Tensor) -> list[Tensor]:
        """∂/∂W, ∂/∂A and ∂/∂B from the gradient of W(λ)."""
        return [gradient, *factor_gradients(self.layer, gradient, preference)]

    def extra_gramian(self, preference: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """The adapters' part: the gradient of W is that of W(λ)."""
        rows = [factor_gradients(self.layer, gradient, preference) for gradient in gradients]
        trained = [source.requires_grad for source in self.sources]
        kept = [column for column, moves in zip(zip(*rows), trained[1:]) if moves]
        total = sum((inner_products(column) for column in kept), preference.new_zeros(len(rows), len(rows)))
        return total if trained[0] else total - inner_products(gradients)


class FactoredWeight(LowRankWeight):
    """By its factors: what is kept has the size of A and B, O(T·r) beside one weight.

    W(λ) is one matrix product of inner size T·rank, and so are the gradients, summed pass by pass.
    """

    def at(self, preference: Tensor, dtype: torch.dtype) -> Tensor:
        """W(λ), laid out as W."""
        weight = self.layer.mixed_weight(preference).to(dtype)
        layout = is_channels_last(self.layer.base_weight)
        return shaped(flattened(weight, weight.dim(), layout), weight.shape, layout)


class DeltaWeight(LowRankWeight, AffineTensor):
    """By its deltas α/r · B_t A_t [T, *W.shape], which are made once a step."""

    def __init__(self, tied: Sequence[LowRankLayer]) -> None:
        self.layer = layer = tied[0]
        weight = layer.base_weight
        with torch.no_grad():
            deltas = layer.deltas()
        sources = [weight, layer.adapter_a, layer.adapter_b]
        AffineTensor.__init__(self, places_of(tied), sources, weight, deltas, is_channels_last(weight))

    @torch.no_grad()
    def chain(self, base: Tensor, deltas: Tensor) -> list[Tensor]:
        """∂/∂W, ∂/∂A and ∂/∂B."""
        return [base, *self.layer.delta_gradients(deltas)]


def places_of(tied: Sequence[LowRankLayer]) -> list[Place]:
    """Where the one weight of some layers is read."""
    return [(id(layer), "weight") for layer in tied]


@torch.no_grad()
def factor_gradients(layer: LowRankLayer, gradient: Tensor, preference: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂A_t = s·λ_t B_tᵀ G [T, inner, columns] and ∂/∂B_t = s·λ_t G A_tᵀ [T, rows, inner] for the gradient G of W(λ),
    s = α/r.
    """
    tasks, rows, inner = layer.adapter_b.shape
    flat = gradient.reshape(rows, -1)
    scales = (layer.adapter_scale * preference).view(-1, 1, 1)
    stacked = layer.adapter_b.transpose(0, 1).reshape(rows, tasks * inner)
    grad_a = (stacked.t() @ flat).view(tasks, inner, -1)
    grad_b = (flat @ layer.adapter_a.reshape(tasks * inner, -1).t()).view(rows, tasks, inner).transpose(0, 1)
    return grad_a * scales, grad_b * scales
