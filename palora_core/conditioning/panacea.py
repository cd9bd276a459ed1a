"""Panacea's conditioning: λ among the singular values of an SVD-shaped adapter (Zhong et al., NeurIPS 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from palora_core.adapters import LowRankLayer
from palora_core.conditioning._affine_adapters import AffineLayer, AffineModel, insert_affine
from palora_core.conditioning.base import Conditioning, conditionings
from palora_core.ranges import Range


class PanaceaLayer(AffineLayer):
    """Mixin: W(λ) = W + U diag(σ_1, …, σ_k, s λ_1, …, s λ_T) V.

    ``adapter_b`` [T, rows, 1] and ``adapter_a`` [T, 1, columns] are the T singular vectors of the preference,
    ``singular_left`` [rows, k], ``singular_right`` [k, columns] and ``singular_values`` [k] those that all λ share,
    ``preference_scale`` [1] is s.
    """

    prefix: ClassVar[str] = "Panacea"
    further: ClassVar[tuple[str, ...]] = ("singular_left", "singular_right", "singular_values", "preference_scale")

    singular_left: Tensor
    singular_right: Tensor
    singular_values: Tensor
    preference_scale: Tensor

    def common(self) -> Tensor:
        """U_k diag(σ) V_k."""
        product = (self.singular_left * self.singular_values) @ self.singular_right
        return product.view(self.base_weight.shape)

    def deltas(self) -> Tensor:
        """s u_t v_t for all t, [T, *weight.shape]."""
        product = torch.bmm(self.preference_scale * self.adapter_b, self.adapter_a)
        return product.view(-1, *self.base_weight.shape)


class PanaceaModel(AffineModel):
    """A network whose layers carry one adapter each, with the preference among its singular values."""

    kind: ClassVar[str] = "panacea"


@conditionings.register("panacea")
@dataclass(frozen=True)
class Panacea(Conditioning):
    """One SVD-shaped adapter per linear and convolution layer; λ are T of its singular values.

    Singular vectors start as normal numbers, σ and s at zero, so that W(λ) = W at the start.

    Attributes:
        rank: k, the singular values that all preferences share.
        deviation: standard deviation of the singular vectors at the start, as for LoRA's own.
        adapter_lr_scale: learning rate of the adapters over the base's; 0 means T.
        adapters_only: freeze everything else, as the paper does.
        bounded: grouped convolutions get no more adapter than weight.
    """

    controllable: ClassVar[bool] = True

    rank: Annotated[int, Range(1, 4096)] = 8
    deviation: Annotated[float, Range(0, 10, open_low=True)] = 0.02
    adapter_lr_scale: Annotated[float, Range(0, 1e4)] = 1.0
    adapters_only: bool = False
    bounded: bool = True

    def condition(self, network: nn.Module, num_tasks: int) -> PanaceaModel:
        """Insert adapters into ``network`` in place and wrap it."""
        model = PanaceaModel(network, num_tasks, self.adapter_lr_scale or None)
        insert_affine(model, PanaceaLayer, num_tasks, 1, 1.0, self._further, self.bounded)
        if self.adapters_only:
            model.train_adapters_only()
        return model

    @torch.no_grad()
    def _further(self, layer: LowRankLayer) -> Mapping[str, Tensor]:
        """What a layer has beside the vectors of the preference, which are drawn, too."""
        a, b = layer.adapter_a, layer.adapter_b
        a.normal_(0, self.deviation)
        b.normal_(0, self.deviation)
        rank = min(self.rank, b.shape[1], a.shape[2])
        return {
            "singular_left": a.new_empty(b.shape[1], rank).normal_(0, self.deviation),
            "singular_right": a.new_empty(rank, a.shape[2]).normal_(0, self.deviation),
            "singular_values": a.new_zeros(rank),
            "preference_scale": a.new_zeros(1),
        }
