"""Number formats of a served network: bfloat16 where it may be, float32 in the layers that need it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.fast_layers.fused import is_pointwise
from palora_core.fast_layers.relu import half_relu
from palora_core.serving.trace import Trace

# Layers that are counted when the first few are to stay exact.
COUNTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class HalfReLU(nn.Module):
    """max(x, 0), by its bits where ``x`` is bfloat16."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return half_relu(x, self.inplace) if x.dtype == torch.bfloat16 else F.relu(x, self.inplace)


def use_half_relus(network: nn.Module) -> None:
    """Replace every ``nn.ReLU`` by :class:`HalfReLU`."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.ReLU:
                setattr(parent, name, HalfReLU(child.inplace))


def count_layers(network: nn.Module, wiring: Trace) -> int:
    """How many convolutions and linear layers run."""
    return sum(isinstance(network.get_submodule(name), COUNTED) for name in wiring.order)


def exact_layers(network: nn.Module, wiring: Trace, count: int) -> set[str]:
    """Names of the layers that run no later than the ``count``-th convolution or linear layer.

    A network reads its input in its first layers, and there rounding does most harm where pooling follows: which of
    four nearly equal values is the largest decides where SegNet puts it on the way up.
    """
    names: set[str] = set()
    for name in wiring.order:
        if isinstance(network.get_submodule(name), COUNTED):
            if count == 0:
                break
            count -= 1
        names.add(name)
    return names


def cast(network: nn.Module, dtype: torch.dtype, exact: set[str]) -> None:
    """Turn all layers but the ``exact`` ones into ``dtype``; every layer reads its input in its own format."""
    if not exact:
        network.to(dtype)
        return
    for name, module in network.named_modules():
        own = _own_tensors(module)
        if not own:
            continue
        wanted = torch.float32 if name in exact else dtype
        for tensor in own:
            tensor.data = tensor.data.to(wanted)
        module.register_forward_pre_hook(_reads(wanted))


def _own_tensors(module: nn.Module) -> list[Tensor]:
    tensors = (*module._parameters.values(), *module._buffers.values())
    return [tensor for tensor in tensors if tensor is not None and tensor.is_floating_point()]


def _reads(dtype: torch.dtype) -> Any:
    def convert(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(a.to(dtype) if isinstance(a, Tensor) and a.is_floating_point() else a for a in args)

    return convert


class Pointwise(nn.Conv2d):
    """A 1×1 convolution as a matrix product over the pixels.

    On one thread torch sends small batches of these, in single precision, to a routine of its own that is several
    times slower; in channels-last layout they are a matrix product as they stand.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The same as ``nn.Conv2d``."""
        y = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return y.permute(0, 3, 1, 2)


def use_linear_pointwise(network: nn.Module) -> None:
    """Turn plain 1×1 convolutions into :class:`Pointwise`."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.groups == 1 and is_pointwise(module):
            module.__class__ = Pointwise
