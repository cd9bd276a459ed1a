"""One step's gradients of low-rank adapters for many tasks, without T weights in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from palora_core.adapters import LowRankLayer
from palora_core.conditioning.lowrank import LowRankModel, MergedWeights, flattened, shaped

# Up to here T deltas are made once a step and mixed by one axpy per λ, which is as fast where M is several; with more
# tasks they would be most of the memory (40 tasks on a ResNet-18: 3.6 GB), and reading them most of the time.
MANY_TASKS = 3


class FactoredWeights(MergedWeights):
    """As its base, but what is kept between the passes has the size of A and B: O(T·r) beside one weight.

    W(λ) is one matrix product of inner size T·rank, and so are the gradients: ∂/∂A_t = s·λ_t B_tᵀ G and
    ∂/∂B_t = s·λ_t G A_tᵀ for the gradient G of W(λ), s = α/r, summed pass by pass.
    """

    def __init__(self, model: LowRankModel) -> None:
        super().__init__(model, deltas=False)
        self.factor_gradients: list[tuple[Tensor, Tensor] | None] = [None] * len(self.layers)

    def _merge(self, index: int, preference: Tensor) -> Tensor:
        layer = self.layers[index]
        weight = layer.base_weight
        return shaped(flattened(layer.mixed_weight(preference), weight), weight).requires_grad_()

    @torch.no_grad()
    def collect(self) -> None:
        """Add what the gradients of the current leaves give A and B to the sums."""
        if self.preference is None:
            return
        for i, (layer, leaf) in enumerate(zip(self.layers, self.leaves)):
            if leaf.grad is None:
                continue
            found = factor_gradients(layer, leaf.grad, self.preference)
            base, factors = self.base_gradients[i], self.factor_gradients[i]
            if base is None or factors is None:
                self.base_gradients[i], self.factor_gradients[i] = leaf.grad, found
            else:
                base.add_(leaf.grad)
                for total, gradient in zip(factors, found):
                    total.add_(gradient)
        self.leaves, self.preference = [], None

    def adapter_gradients(self, index: int) -> tuple[Tensor, Tensor] | None:
        """∂/∂A and ∂/∂B of a layer, or None where nothing reached it."""
        return self.factor_gradients[index]


def factor_gradients(layer: LowRankLayer, gradient: Tensor, preference: Tensor) -> tuple[Tensor, Tensor]:
    """∂/∂A [T, inner, columns] and ∂/∂B [T, rows, inner] from the gradient of W(λ)."""
    tasks, rows, inner = layer.adapter_b.shape
    flat = gradient.reshape(rows, -1)
    scales = (layer.adapter_scale * preference).view(-1, 1, 1)
    stacked = layer.adapter_b.transpose(0, 1).reshape(rows, tasks * inner)
    grad_a = (stacked.t() @ flat).view(tasks, inner, -1)
    grad_b = (flat @ layer.adapter_a.reshape(tasks * inner, -1).t()).view(rows, tasks, inner).transpose(0, 1)
    return grad_a * scales, grad_b * scales
