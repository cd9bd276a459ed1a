"""PaDoRA's conditioning: per task a weight-decomposed low-rank adapter (DoRA; Liu et al., ICML 2024), mixed by λ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from palora_core.adapters import LowRankLayer, insert_adapters
from palora_core.adapters.layer import is_opaque
from palora_core.conditioning._factors import places_of
from palora_core.conditioning._merged import AffineTensor, is_channels_last, merged_passes
from palora_core.conditioning.base import Conditioning, Pass, conditionings
from palora_core.conditioning.lowrank import LowRankModel
from palora_core.errors import UserError
from palora_core.machine import full_precision
from palora_core.ranges import Range
from palora_core.swapping import swap


class DoRALayer(LowRankLayer):
    """Mixin: W(λ) = W + Σ_t λ_t (W_t − W) with W_t = m_t · (W + α/r · B_t A_t) / ‖W + α/r · B_t A_t‖.

    Norms are one per output row (or channel); ``magnitude`` [T, out] starts as the norms of W, so that W(λ) = W at the
    start. One-hot λ is exactly the DoRA of that task. (The research code scales every adapter inside its norm instead,
    by λ_t·α/r, and there a task whose λ_t is 0 still acts through its magnitude.)
    """

    prefix: ClassVar[str] = "DoRA"

    obstacle = "DoRA divides by norms of its weight"

    magnitude: Tensor
    norm_gradient: bool

    def deltas(self) -> Tensor:
        """W_t − W for all t, `[T, *weight.shape]`."""
        base = self.base_weight
        directions = base + super().deltas()
        scales: Tensor = self._scales(directions)
        return scales * directions - base

    def _scales(self, directions: Tensor) -> Tensor:
        """m_t over the norms of ``directions`` [T, out, …], ready to multiply them."""
        measured = directions if self.norm_gradient else directions.detach()
        norms = measured.flatten(2).norm(dim=2).clamp_min(torch.finfo(directions.dtype).tiny)
        return (self.magnitude / norms).view(*norms.shape, *[1] * (directions.dim() - 2))

    def mixed_weight(self, preference: Tensor) -> Tensor:
        """W + Σ_t λ_t (W_t − W) for λ [T], shaped like W."""
        base = self.base_weight
        with full_precision(base):
            return base + torch.tensordot(preference.to(self.magnitude), self.deltas(), 1).to(base.dtype)

    def plain_(self, weight: Tensor) -> None:
        """Turn this layer back, in place, into the class it came from, with ``weight`` as its weight."""
        super().plain_(weight)
        del self.magnitude


class DoRAModel(LowRankModel):
    """A network whose layers carry T DoRA adapters mixed by λ."""

    kind: ClassVar[str] = "dora"

    @property
    def num_adapter_parameters(self) -> int:
        """How many parameters the adapters add, magnitudes included."""
        magnitudes = {id(layer.magnitude): layer.magnitude.numel() for layer in self._dora_layers()}
        return super().num_adapter_parameters + sum(magnitudes.values())

    def _passes(self, dtype: torch.dtype | None, once: bool) -> AbstractContextManager[Callable[[Any], Pass]]:
        """On merged weights; the chain rule to W, A, B and m runs once a step."""
        return merged_passes(self, lambda: [DoRAWeight(tied) for tied in self.groups()], dtype, once)

    def _dora_layers(self) -> list[DoRALayer]:
        return [layer for layer in self.layers if isinstance(layer, DoRALayer)]


class DoRAWeight(AffineTensor):
    """W + Σ_t λ_t (W_t − W) of one layer; autograd knows the way to the sources."""

    matrix: ClassVar[bool] = True

    def __init__(self, tied: Sequence[LowRankLayer]) -> None:
        layer = cast(DoRALayer, tied[0])
        base = layer.base_weight
        sources = [base, layer.adapter_a, layer.adapter_b, layer.magnitude]
        super().__init__(places_of(tied), sources, base, layer.deltas(), is_channels_last(base))


@conditionings.register("dora")
@dataclass(frozen=True)
class DoRA(Conditioning):
    """DoRA adapters on every linear and convolution layer, one per task.

    Attributes:
        rank: r.
        alpha: α; the low-rank parts are scaled by α/r.
        conv_form: ``"kernel"`` (peft's) or ``"flat"`` (PaLoRA's tables).
        adapter_lr_scale: learning rate of the low-rank factors over that of all else; 0 means T.
        norm_gradient: differentiate the norms too. Without it they count as constants, as in DoRA's section 4.3 and in
            peft, where W is frozen; here W is trained, and would then drift along itself, which changes nothing but the
            size of its steps.
        bounded: grouped convolutions get no more adapter per task than weight.
    """

    controllable: ClassVar[bool] = True
    before: ClassVar[dict[str, Any]] = {"bounded": False}  # what files mean that were written before these options

    rank: Annotated[int, Range(1, 4096)] = 4
    alpha: Annotated[float, Range(0, 1e6, open_low=True)] = 1.0
    conv_form: Literal["kernel", "flat"] = "kernel"
    adapter_lr_scale: Annotated[float, Range(0, 1e4)] = 1.0
    norm_gradient: bool = True
    bounded: bool = True

    def condition(self, network: nn.Module, num_tasks: int) -> DoRAModel:
        """Insert adapters into ``network`` in place and wrap it."""
        model = DoRAModel(network, num_tasks, self.adapter_lr_scale or None)
        how = (num_tasks, self.rank, self.alpha, self.conv_form, model.active)
        for adapted in insert_adapters(network, *how, bounded=self.bounded):
            adapted.unswap_()
            if is_opaque(adapted):
                raise UserError("DoRA needs the norms of a weight, and a quantised one has none; use lowrank adapters.")
            layer = swap(adapted, DoRALayer)
            layer.norm_gradient = self.norm_gradient
        for tied in model.groups():
            norms = tied[0].base_weight.detach().flatten(1).norm(dim=1)
            magnitude = nn.Parameter(norms.repeat(num_tasks, 1))
            for member in tied:
                cast(DoRALayer, member).magnitude = magnitude
        return model
