"""Task-specific low-rank adapters: W(λ) = W + α/r · Σ_t λ_t B_t A_t (Eq. 1) inside any linear or convolution layer."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from palora_core.active import ActivePreference
from palora_core.errors import UserError
from palora_core.machine import full_precision
from palora_core.selection import Selection, check_adaptable, chosen_layers
from palora_core.swapping import SwappedLayer, swap

CONV_FORMS = ("flat", "kernel")


def factor_shapes(
    weight: torch.Size, groups: int, rank: int, conv_form: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shapes of one task's factors, ``(A [inner, columns], B [rows, inner])``, for a layer's weight.

    Linear layers use A [r, in], B [out, r]. Convolutions of kernel p × q have two forms:

    * ``"flat"`` (the paper's tables): A [r·min(p, q), in·q], B [out/g·p, r·min(p, q)]; the product, viewed row-major as
      the weight, is A [r·k, in·k], B [out·k, r·k] for the square kernels of the paper. p is the first kernel
      axis and q the product of the others; a 1-D kernel has p = 1.
    * ``"kernel"``: A [r, in/g·p·q], B [out, r], a convolution to r channels followed by a 1×1 one.
    """
    out_channels, in_per_group, *kernel = weight
    if not kernel:
        return (rank, in_per_group), (out_channels, rank)
    area = math.prod(kernel)
    if conv_form == "kernel":
        return (rank, in_per_group * area), (out_channels, rank)
    first = kernel[0] if len(kernel) > 1 else 1
    rest = area // first
    inner = rank * min(first, rest)
    return (inner, in_per_group * groups * rest), (out_channels // groups * first, inner)


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

    @weight.setter
    def weight(self, value: Any) -> None:
        raise UserError(
            "A layer with adapters computes its weight, so nothing can be put in its place; nn.DataParallel and FSDP1 "
            "try to (use DDP or fully_shard), and a new base weight is copied into layer.base_weight."
        )

    @property
    def base_weight(self) -> nn.Parameter:
        """The layer's own weight W, without adapters."""
        return self._parameters["weight"]  # type: ignore[return-value]

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
        self.register_parameter("weight", nn.Parameter(weight, requires_grad=base.requires_grad))

    def extra_repr(self) -> str:
        """The layer's own description, then its adapters."""
        tasks, _, inner = self.adapter_b.shape
        return f"{super().extra_repr()}, tasks={tasks}, adapter_inner={inner}"


def adapter_form(weight: torch.Size, groups: int, rank: int, conv_form: str, bounded: bool) -> tuple[int, str]:
    """(rank, form) of one layer's adapters.

    As asked for; but a task's adapters in a grouped convolution are not larger than its weight where ``bounded``. A
    depthwise layer's flat form has r·k·(C·k + 1) numbers in place of C·k²: it gets the kernel form, at the rank that
    fits.
    """
    if groups == 1 or not bounded:
        return rank, conv_form

    def size(form: str) -> int:
        return sum(math.prod(shape) for shape in factor_shapes(weight, groups, rank, form))

    if conv_form == "kernel" or size("flat") > weight.numel():
        return max(1, min(rank, rank * weight.numel() // size("kernel"))), "kernel"
    return rank, conv_form


def insert_adapters(
    network: nn.Module,
    num_tasks: int,
    rank: int,
    alpha: float,
    conv_form: str = "flat",
    active: ActivePreference | None = None,
    select: Selection = None,
    exclude: Selection = None,
    bounded: bool = True,
) -> list[LowRankLayer]:
    """Give every linear and convolution layer of ``network`` T low-rank adapters, in place.

    A starts Kaiming-uniform, B at zero, so the network's function does not change.

    Args:
        network: any module; normalisation, embeddings and transposed convolutions are left alone.
        num_tasks: T ≥ 1.
        rank: r ≥ 1.
        alpha: α of Eq. 1; the adapters are scaled by α/r.
        conv_form: ``"flat"`` or ``"kernel"``, see :func:`factor_shapes`.
        active: the cell the layers read λ from; a new one if None.
        select: which layers get adapters, see :func:`palora_core.selection.chosen_layers`; all by default.
        exclude: which of these do not.
        bounded: grouped convolutions get no more adapter than weight, see :func:`adapter_form`.

    Returns:
        The adapted layers in module order.

    Raises:
        UserError: bad options, no layer to adapt, tied weights, lazy or parametrised layers, or adapters already there.
    """
    _check_options(num_tasks, rank, alpha, conv_form)
    active = active or ActivePreference()
    chosen = chosen_layers(network, select, exclude)
    for name, layer in chosen:
        if isinstance(layer, LowRankLayer):
            raise UserError(f"Layer {name!r} already has adapters; palorize a plain network (model.merge gives one).")
    check_adaptable(network, chosen)
    return [_insert(layer, num_tasks, rank, alpha, conv_form, active, bounded) for _, layer in chosen]


def _insert(
    plain: nn.Module,
    num_tasks: int,
    rank: int,
    alpha: float,
    conv_form: str,
    active: ActivePreference,
    bounded: bool,
) -> LowRankLayer:
    layer = swap(plain, LowRankLayer)
    weight, groups = layer.base_weight, getattr(layer, "groups", 1)
    rank, conv_form = adapter_form(weight.shape, groups, rank, conv_form, bounded)
    shape_a, shape_b = factor_shapes(weight.shape, groups, rank, conv_form)
    bound = 1 / math.sqrt(shape_a[1])  # Kaiming-uniform with a = √5, as torch initialises linear layers
    layer.adapter_a = nn.Parameter(weight.new_empty(num_tasks, *shape_a).uniform_(-bound, bound))
    layer.adapter_b = nn.Parameter(weight.new_zeros(num_tasks, *shape_b))
    layer.adapter_rank, layer.adapter_alpha, layer.adapter_form = rank, float(alpha), conv_form
    layer.active = active
    return layer


def _check_options(num_tasks: int, rank: int, alpha: float, conv_form: str) -> None:
    for name, value in (("num_tasks", num_tasks), ("rank", rank)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"{name} must be a whole number of at least 1, found {value!r}.")
    if not math.isfinite(alpha):
        raise UserError(f"alpha must be a finite number, found {alpha!r}.")
    if conv_form not in CONV_FORMS:
        raise UserError(f"conv_form must be one of {', '.join(CONV_FORMS)}, found {conv_form!r}.")
