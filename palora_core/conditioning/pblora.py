"""PBLoRA's conditioning: B W(λ) A, one adapter with a core between its factors (Lin et al.: PARM, ICML 2025)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from palora_core.adapters import LowRankLayer
from palora_core.conditioning._affine_adapters import AffineLayer, AffineModel, insert_affine
from palora_core.conditioning.base import Conditioning, conditionings
from palora_core.ranges import Range


class BilinearLayer(AffineLayer):
    """Mixin: W(λ) = W + s (B₁ K A₁ + B₂ (M₀ + Σ_t λ_t M_t) A₂), s = α/r.

    ``adapter_b`` [1, rows, r] is (B₁ B₂) and ``adapter_a`` [1, r, columns] (A₁ A₂); ``core_common`` [r₁, r₁] is K,
    ``core_tasks`` [T + 1, r₂, r₂] M₀ and the M_t.
    """

    prefix: ClassVar[str] = "Bilinear"
    further: ClassVar[tuple[str, ...]] = ("core_common", "core_tasks")

    core_common: Tensor
    core_tasks: Tensor

    def common(self) -> Tensor:
        """s (B₁ K A₁ + B₂ M₀ A₂)."""
        first = len(self.core_common)
        up, down = self.adapter_b[0], self.adapter_a[0]
        product = up[:, :first] @ self.core_common @ down[:first] + up[:, first:] @ self.core_tasks[0] @ down[first:]
        return (self.adapter_scale * product).view(self.base_weight.shape)

    def deltas(self) -> Tensor:
        """s B₂ M_t A₂ for all t, [T, *weight.shape]."""
        first = len(self.core_common)
        product = self.adapter_b[0, :, first:] @ self.core_tasks[1:] @ self.adapter_a[0, first:]
        return (self.adapter_scale * product).view(-1, *self.base_weight.shape)


class BilinearModel(AffineModel):
    """A network whose layers carry one adapter each, with a core that depends on λ."""

    kind: ClassVar[str] = "pblora"


@conditionings.register("pblora")
@dataclass(frozen=True)
class PBLoRA(Conditioning):
    """Preference-aware bilinear adapters on every linear and convolution layer.

    The part of the core that λ makes is a linear layer of λ. B starts at zero, so that W(λ) = W at the start.

    Attributes:
        common_rank: r₁, of the part that all preferences share.
        rank: r₂, of the part that depends on λ.
        alpha: α; the adapters are scaled by α / (r₁ + r₂).
        adapter_lr_scale: learning rate of the adapters over the base's; 0 means T.
        adapters_only: freeze everything else, as the paper does.
        bounded: grouped convolutions get no more adapter than weight.
    """

    controllable: ClassVar[bool] = True

    common_rank: Annotated[int, Range(1, 4096)] = 4
    rank: Annotated[int, Range(1, 4096)] = 4
    alpha: Annotated[float, Range(0, 1e6, open_low=True)] = 8.0
    adapter_lr_scale: Annotated[float, Range(0, 1e4)] = 1.0
    adapters_only: bool = False
    bounded: bool = True

    def condition(self, network: nn.Module, num_tasks: int) -> BilinearModel:
        """Insert adapters into ``network`` in place and wrap it."""
        model = BilinearModel(network, num_tasks, self.adapter_lr_scale or None)

        @torch.no_grad()
        def further(layer: LowRankLayer) -> Mapping[str, Tensor]:
            rank = layer.adapter_a.shape[1]
            own = rank - max(1, min(self.rank, rank - 1))  # a layer that is bounded to rank 1 has only what λ makes
            like, rest = layer.adapter_a, rank - own
            tasks = like.new_empty(num_tasks + 1, rest, rest).uniform_(-1, 1) / math.sqrt(num_tasks)
            tasks[0] = 0
            return {
                "core_common": like.new_empty(own, own).uniform_(-1, 1) / math.sqrt(max(1, own)),
                "core_tasks": tasks,
            }

        insert_affine(model, BilinearLayer, 1, self.common_rank + self.rank, self.alpha, further, self.bounded)
        if self.adapters_only:
            model.train_adapters_only()
        return model
