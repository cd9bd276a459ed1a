"""Give layers their adapters: shapes of the factors, forms of convolutions, tied weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from palora_core.active import ActivePreference
from palora_core.adapters.branches import QuantisedBranches, mixin_for
from palora_core.adapters.hosted import HOSTS, Host, HostedWeight, host_adapters
from palora_core.adapters.layer import LowRankLayer, adapter_dtype, is_opaque
from palora_core.adapters.raw_parameters import RawParameter
from palora_core.adapters.selection import TRANSPOSED, Selection, check_adaptable, chosen_layers, is_plain, value_of
from palora_core.errors import UserError
from palora_core.swapping import swap

__all__ = ["CONV_FORMS", "LowRankLayer", "adapter_form", "factor_shapes", "insert_adapters"]

CONV_FORMS = ("flat", "kernel")
RAW_FORM = "rows"  # of parameters that are no layer's weight


def factor_shapes(
    weight: torch.Size, groups: int, rank: int, conv_form: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shapes of one task's factors, ``(A [inner, columns], B [rows, inner])``, for a weight.

    Linear layers use A [r, in], B [out, r]. Convolutions of kernel p × q have two forms:

    * ``"flat"`` (the paper's tables): A [r·min(p, q), in·q], B [out/g·p, r·min(p, q)]; the product, viewed row-major as
      the weight, is A [r·k, in·k], B [out·k, r·k] for the square kernels of the paper. p is the first kernel
      axis and q the product of the others; a 1-D kernel has p = 1.
    * ``"kernel"``: A [r, in/g·p·q], B [out, r], a convolution to r channels followed by a 1×1 one.

    Parameters that are no layer's weight, of any axes, have the form ``"rows"``: A [r, last axis], B [the others, r].
    """
    if conv_form == RAW_FORM:
        return (rank, weight[-1]), (math.prod(weight[:-1]), rank)
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
    rank: int | Mapping[Any, int],
    alpha: float | Mapping[Any, float],
    conv_form: str = "flat",
    active: ActivePreference | None = None,
    select: Selection = None,
    exclude: Selection = None,
    bounded: bool = True,
    kinds: Callable[[nn.Module], bool] = is_plain,
) -> list[LowRankLayer]:
    """Give every linear and convolution layer of ``network`` T low-rank adapters, in place.

    A starts Kaiming-uniform, B at zero, so the network's function does not change. Tied weights have tied adapters.

    Args:
        network: any module.
        num_tasks: T ≥ 1.
        rank: r ≥ 1; or a mapping from names, patterns or types to it, of which the last that fits counts.
        alpha: α of Eq. 1; the adapters are scaled by α/r. Or a mapping, as for the rank.
        conv_form: ``"flat"`` or ``"kernel"``, see :func:`factor_shapes`.
        active: the cell the layers read λ from; a new one if None.
        select: which layers get adapters, see :func:`palora_core.adapters.selection.chosen_layers`; all by default.
            Names or patterns that fit no layer may mean parameters, see :mod:`palora_core.adapters.raw_parameters`.
        exclude: which of these do not.
        bounded: grouped convolutions get no more adapter than weight, see :func:`adapter_form`.
        kinds: what gets adapters if nothing is selected, see :mod:`palora_core.adapters.selection`.

    Returns:
        The adapted layers in module order.

    Raises:
        UserError: bad options, no layer to adapt, tied weights, lazy or parametrised layers, or adapters already there.
    """
    active = active or ActivePreference()
    chosen = chosen_layers(network, select, exclude, kinds)
    modules = {**dict(network.named_modules()), **dict(chosen)}
    options = [(value_of("rank", rank, n, modules), value_of("alpha", alpha, n, modules)) for n, _ in chosen]
    for own_rank, own_alpha in options:
        _check_options(num_tasks, own_rank, own_alpha, conv_form)
    for name, layer in chosen:
        if isinstance(layer, LowRankLayer | Host):  # of a raw parameter, its choice has looked
            raise UserError(f"Layer {name!r} already has adapters; palorize a plain network (model.merge gives one).")
    check_adaptable(network, chosen)
    made: dict[int, LowRankLayer] = {}
    adapted: list[LowRankLayer] = []
    for (_, plain), (own_rank, own_alpha) in zip(chosen, options):
        # In a kernel of the other direction the flat form has no meaning.
        form = "kernel" if isinstance(plain, TRANSPOSED) else conv_form
        layers = _empty_layers(plain, own_rank, form, bounded)
        for layer in layers:
            form = RAW_FORM if isinstance(layer, HostedWeight) else form
            first = made.setdefault(id(layer.base_weight), layer)
            if first is layer:
                _fill(layer, num_tasks, own_alpha, active, own_rank, form, bounded)
            else:
                _tie(layer, first)
        adapted += layers
    return adapted


def _empty_layers(plain: nn.Module | RawParameter, rank: int, conv_form: str, bounded: bool) -> Sequence[LowRankLayer]:
    """What carries the adapters of a chosen layer or parameter, without tensors yet."""
    if isinstance(plain, RawParameter):
        return host_adapters(plain.owner, [plain.key])
    if isinstance(plain, HOSTS):
        return host_adapters(plain)
    _, (_, columns), (rows, _) = _form(plain, _plain_shape(plain), rank, conv_form, bounded)
    return [swap(plain, mixin_for(plain, columns, rows))]


def _plain_shape(plain: nn.Module) -> torch.Size:
    """The shape of a layer's weight as a matrix or kernel; packed ones hide it."""
    weight = plain._parameters["weight"]
    assert weight is not None  # layers without are refused
    packed = isinstance(plain, nn.Linear) and is_opaque(plain)
    return torch.Size((plain.out_features, plain.in_features)) if packed else weight.shape  # type: ignore[arg-type]


def _form(
    layer: nn.Module, shape: torch.Size, rank: int, conv_form: str, bounded: bool
) -> tuple[tuple[int, str], tuple[int, int], tuple[int, int]]:
    """A layer's (rank, form), and the shapes of its factors."""
    groups = getattr(layer, "groups", 1)
    rank, conv_form = adapter_form(shape, groups, rank, conv_form, bounded)
    return (rank, conv_form), *factor_shapes(shape, groups, rank, conv_form)


def _tie(layer: LowRankLayer, first: LowRankLayer) -> None:
    """Give a layer the adapters of the one whose weight it shares."""
    layer.adapter_a, layer.adapter_b = first.adapter_a, first.adapter_b
    layer.adapter_rank, layer.adapter_alpha = first.adapter_rank, first.adapter_alpha
    layer.adapter_form, layer.active = first.adapter_form, first.active


def _fill(
    layer: LowRankLayer,
    num_tasks: int,
    alpha: float,
    active: ActivePreference,
    rank: int,
    conv_form: str,
    bounded: bool,
) -> None:
    """Give a layer its adapters."""
    weight = layer.base_weight
    (rank, conv_form), shape_a, shape_b = _form(layer, layer.weight_shape, rank, conv_form, bounded)
    like: dict[str, Any] = {
        "device": weight.device,
        "dtype": adapter_dtype(layer) if isinstance(layer, QuantisedBranches) else weight.dtype,
    }
    bound = 1 / math.sqrt(shape_a[1])  # Kaiming-uniform with a = √5, as torch initialises linear layers
    layer.adapter_a = nn.Parameter(torch.empty(num_tasks, *shape_a, **like).uniform_(-bound, bound))
    layer.adapter_b = nn.Parameter(torch.zeros(num_tasks, *shape_b, **like))
    layer.adapter_rank, layer.adapter_alpha, layer.adapter_form = rank, float(alpha), conv_form
    layer.active = active


def _check_options(num_tasks: int, rank: int, alpha: float, conv_form: str) -> None:
    for name, value in (("num_tasks", num_tasks), ("rank", rank)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"{name} must be a whole number of at least 1, found {value!r}.")
    if not math.isfinite(alpha):
        raise UserError(f"alpha must be a finite number, found {alpha!r}.")
    if conv_form not in CONV_FORMS:
        raise UserError(f"conv_form must be one of {', '.join(CONV_FORMS)}, found {conv_form!r}.")
