"""Layers with low-rank adapters: those whose weight is computed, and those that add a branch to what they compute."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional as F

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
        if active.tensors is not None:
            ready, own = active.tensors[id(self), "weight"], self.base_weight.dtype
            # Rounded for autocast already; a network may leave it for a part of its forward pass.
            rounded = ready.dtype != own and not torch.is_autocast_enabled(ready.device.type)
            return ready.to(own) if rounded else ready
        return self.mixed_weight(active.preference)

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

    def mixed_weight(self, preference: Tensor) -> Tensor:
        """W + α/r · Σ_t λ_t B_t A_t for λ [T], shaped like W; one matrix product of inner size T·rank."""
        tasks, rows, inner = self.adapter_b.shape
        base, scales = self.base_weight, self.adapter_scale * preference.to(self.adapter_a)
        with full_precision(base):  # under autocast too W(λ) is a sum in its own format, and rounded once
            weighted = (self.adapter_a * scales.view(-1, 1, 1)).reshape(tasks * inner, -1)
            stacked = self.adapter_b.transpose(0, 1).reshape(rows, tasks * inner)
            return base + (stacked @ weighted).view(base.shape).to(base.dtype)

    def deltas(self) -> Tensor:
        """What each task's adapters add at λ_t = 1: α/r · B_t A_t for all t, [T, *weight.shape]."""
        product = torch.bmm(self.adapter_b * self.adapter_scale, self.adapter_a)
        return product.view(-1, *self.base_weight.shape)

    def delta_gradients(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Chain rule through :meth:`deltas`: ∂/∂A, ∂/∂B from the gradients [T, *weight.shape] of the deltas."""
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


class BranchedLayer(LowRankLayer):
    """The same for a linear layer with a quantised weight, which nothing can be added to.

    The layer computes W x as it does, and the adapters their own share: y = W x + α/r · Σ_t λ_t B_t (A_t x). It trains
    and answers at any λ; a plain layer for one λ does not exist.
    """

    prefix: ClassVar[str] = "Branched"

    in_features: int
    out_features: int
    weight = LowRankLayer.base_weight

    @property
    def weight_shape(self) -> torch.Size:
        """[out, in]."""
        return torch.Size((self.out_features, self.in_features))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The layer's own forward, and the adapters' branch while a preference is active."""
        y, active = super().forward(x, *args, **kwargs), self.active.now
        if active is None:
            return y
        scales = (self.adapter_scale * active.preference.to(self.adapter_a)).repeat_interleave(self.adapter_a.shape[1])
        inner = F.linear(x.to(self.adapter_a.dtype), self.adapter_a.flatten(0, 1)) * scales
        return y + F.linear(inner, self.adapter_b.transpose(0, 1).flatten(1)).to(y.dtype)

    def mixed_weight(self, preference: Tensor) -> Tensor:
        """None exists.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"A {self.plain_class.__name__} has a quantised weight ({self.base_weight.dtype}), which no adapter can be "
            "added to: call model(x, preference), or dequantise the network before merging or serving it."
        )

    def deltas(self) -> Tensor:
        """What the adapters add would have to be added to a quantised weight; see :meth:`mixed_weight`."""
        return self.mixed_weight(self.adapter_a.new_zeros(len(self.adapter_a)))
