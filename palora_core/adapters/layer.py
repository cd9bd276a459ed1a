"""Layers with low-rank adapters, whose weight is computed where somebody reads it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from palora_core.active import ActivePreference
from palora_core.errors import UserError
from palora_core.machine import full_precision
from palora_core.sharding import is_sharded_tensor
from palora_core.swapping import SwappedLayer, refuse_value


class LowRankLayer(SwappedLayer):
    """Mixin that turns a linear or convolution layer into one whose ``weight`` depends on the active preference.

    The class of the layer is swapped in place, so bias, stride, groups, hooks, names and the layer's own ``forward``
    stay what they are: whatever reads ``layer.weight``, also ``nn.MultiheadAttention`` reading its output projection,
    sees W(λ). The base weight keeps its name in the state_dict; ``adapter_a`` [T, inner, columns] and ``adapter_b``
    [T, rows, inner] are added.
    """

    prefix: ClassVar[str] = "LowRank"

    adapter_a: Tensor
    adapter_b: Tensor
    adapter_rank: int
    adapter_alpha: float
    adapter_form: str
    active: ActivePreference

    @property
    def obstacle(self) -> str | None:
        """Why this layer cannot run as branches (see :mod:`palora_core.adapters.compute`); None if it can."""
        if getattr(self, "adapter_form", "") == "flat" and self.base_weight.dim() > 2:
            return "its convolution is in flat form, try conv_form='kernel'"
        return f"nobody knows how a {self.plain_class.__name__} uses its weight"

    @property
    def adapter_scale(self) -> float:
        """α/r."""
        return self.adapter_alpha / self.adapter_rank

    def describe(self) -> dict[str, Any]:
        """What the adapters are beside their tensors."""
        form = {"form": self.adapter_form} if self.base_weight.dim() > 2 else {}
        return {"rank": self.adapter_rank, "alpha": self.adapter_alpha, **form}

    @property
    def weight(self) -> Tensor:
        """W(λ) while a preference is active, the base weight W otherwise."""
        active = self.active.now
        if active is None:
            return self.base_weight
        ready = None if active.tensors is None else active.tensors.get((id(self), "weight"))
        if ready is not None:
            own = self.base_weight.dtype
            # Rounded for autocast already; a network may leave it for a part of its forward pass.
            rounded = ready.dtype != own and not torch.is_autocast_enabled(ready.device.type)
            return ready.to(own) if rounded else ready
        return self.computed_weight(active.preference)

    weight = weight.setter(refuse_value)  # type: ignore[attr-defined]

    @property
    def base_weight(self) -> nn.Parameter:
        """The layer's own weight W, without adapters."""
        return self._parameters["weight"]  # type: ignore[return-value]

    @property
    def weight_shape(self) -> torch.Size:
        """The shape of W as a matrix or kernel, whatever form it is stored in."""
        return self.base_weight.shape

    def weight_name(self, path: str) -> str:
        """The weight's name in the network, ``path`` being the layer's."""
        return f"{path}.weight".lstrip(".")

    def computed_weight(self, preference: Tensor) -> Tensor:
        """:meth:`mixed_weight`, for whoever reads ``weight``.

        Raises:
            UserError: there is one λ per sample, and so no one weight.
        """
        if preference.dim() > 1:
            raise UserError(
                f"There is one preference per sample, and something reads the weight of a {self.plain_class.__name__}, "
                "of which there is one per preference: give one λ [T], or leave that layer out with exclude=."
            )
        return self.mixed_weight(preference)

    def mixed_weight(self, preference: Tensor) -> Tensor:
        """W + α/r · Σ_t λ_t B_t A_t for λ [T], shaped like W; one matrix product of inner size T·rank."""
        tasks, rows, inner = self.adapter_b.shape
        base, scales = self.base_weight, self.adapter_scale * preference.to(self.adapter_a)
        with full_precision(base):  # under autocast too W(λ) is a sum in its own format, and rounded once
            weighted = (self.adapter_a * scales.view(-1, 1, 1)).reshape(tasks * inner, -1)
            stacked = self.adapter_b.transpose(0, 1).reshape(rows, tasks * inner)
            return base + (stacked @ weighted).view(base.shape).to(base.dtype)

    def deltas(self) -> Tensor:
        """What each task's adapters add at λ_t = 1: α/r · B_t A_t for all t, `[T, *weight.shape]`."""
        product = torch.bmm(self.adapter_b * self.adapter_scale, self.adapter_a)
        return product.view(-1, *self.base_weight.shape)

    def delta_gradients(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Chain rule through :meth:`deltas`: ∂/∂A, ∂/∂B from the gradients `[T, *weight.shape]` of the deltas."""
        flat = gradients.reshape(len(gradients), self.adapter_b.shape[1], self.adapter_a.shape[2])
        grad_a = torch.bmm(self.adapter_b.transpose(1, 2), flat).mul_(self.adapter_scale)
        grad_b = torch.bmm(flat, self.adapter_a.transpose(1, 2)).mul_(self.adapter_scale)
        return grad_a, grad_b

    def plain_(self, weight: Tensor) -> None:
        """Turn this layer back, in place, into the class it came from, with ``weight`` as its weight."""
        base = self.base_weight
        self.unswap_()
        del self.adapter_a, self.adapter_b, self.adapter_rank, self.adapter_alpha, self.adapter_form, self.active
        own = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight, requires_grad=base.requires_grad)
        self.register_parameter("weight", own)

    def extra_repr(self) -> str:
        """The layer's own description, then its adapters."""
        tasks, _, inner = self.adapter_b.shape
        return f"{super().extra_repr()}, tasks={tasks}, adapter_inner={inner}"


def is_opaque(layer: nn.Module) -> bool:
    """Whether a layer's weight is quantised: integers, packed numbers, or a tensor that only its layer understands."""
    weight = layer._parameters.get("weight")
    if weight is None:
        return False
    own = type(weight.data) is torch.Tensor or isinstance(weight, FakeTensor) or is_sharded_tensor(weight)
    return not (own and weight.is_floating_point())


def adapter_dtype(layer: nn.Module) -> torch.dtype:
    """The format of adapters beside a quantised weight: what the layer computes in, as far as it says."""
    declared = getattr(layer, "compute_dtype", None)
    found = [declared, *(p.dtype for p in layer.parameters(recurse=False) if type(p.data) is torch.Tensor)]
    return next((d for d in found if isinstance(d, torch.dtype) and d.is_floating_point), torch.get_default_dtype())
