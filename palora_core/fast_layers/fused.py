"""A convolution and the 1×1 convolution straight behind it, computed as one while training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeGuard

from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.swapping import SwappedLayer


class FusedSequential(SwappedLayer):
    """``nn.Sequential`` in which a convolution and the 1×1 one that alone reads it run as one.

    Nothing lies between them, so W₂(W₁x + b₁) + b₂ = (W₂W₁)x + (W₂b₁ + b₂): the head of a SegNet computes 7 channels
    instead of 64 and 7. Both weights stay what they are, and so do their gradients.
    """

    prefix: ClassVar[str] = "Fused"

    def forward(self, x: Any) -> Any:
        """All modules in a row; as they are written outside of training, where a person may compare bits."""
        if not self.training:
            return super().forward(x)
        for pair in composable(self._modules.values()):  # children() would leave out what comes twice
            if pair[1] is None:
                x = pair[0](x)
            else:
                x = composed(x, *pair) if _is_worth_it(x, *pair) else pair[1](pair[0](x))
        return x


def composable(modules: Iterable[nn.Module | None]) -> Iterator[tuple[nn.Module, None] | tuple[nn.Conv2d, nn.Conv2d]]:
    """The modules in order, a convolution together with a narrower 1×1 one straight behind it."""
    waiting: nn.Module | None = None
    for module in modules:
        assert module is not None  # nn.Sequential cannot run with one either
        if waiting is not None and _composes(waiting) and _composes(module) and _narrows(waiting, module):
            yield waiting, module
            waiting = None
            continue
        if waiting is not None:
            yield waiting, None
        waiting = module
    if waiting is not None:
        yield waiting, None


def composed(x: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """``second(first(x))`` as one convolution."""
    inner, outer = first.weight.permute(0, 2, 3, 1), second.weight.flatten(1)
    weight = (outer @ inner.flatten(1)).unflatten(1, inner.shape[1:]).permute(0, 3, 1, 2)
    bias = second.bias
    if first.bias is not None:
        through = outer @ first.bias
        bias = through if bias is None else bias + through
    return F.conv2d(x, weight, bias, first.stride, first.padding, first.dilation)


def _narrows(first: nn.Conv2d, second: nn.Conv2d) -> bool:
    """Whether the second convolution is 1×1, with fewer outputs than it reads, so that composing may be worth it."""
    return is_pointwise(second) and first.padding_mode == "zeros" and second.out_channels < first.out_channels


def is_pointwise(conv: nn.Conv2d) -> bool:
    """Whether a convolution reads one pixel for each that it writes."""
    return (conv.kernel_size, conv.stride, conv.padding) == ((1, 1), (1, 1), (0, 0))


def _is_worth_it(x: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> bool:
    """Whether ``x`` has pixels enough: composing costs as much as a few, and saves at every one."""
    pixels = x.numel() // first.in_channels // (first.stride[0] * first.stride[1])
    reads = first.in_channels * first.kernel_size[0] * first.kernel_size[1]
    inner, outer = first.out_channels, second.out_channels
    return pixels * (reads * (inner - outer) + inner * outer) > 2 * reads * inner * outer


def _composes(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a convolution that computes what its weight and bias say, and nobody watches it."""
    if not isinstance(layer, nn.Conv2d) or layer.groups != 1:
        return False
    methods = ("forward", "_conv_forward", "__call__")
    if any(name in vars(layer) or getattr(type(layer), name) is not getattr(nn.Conv2d, name) for name in methods):
        return False
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return not any(hooks) and not nn.modules.module._has_any_global_hook()
