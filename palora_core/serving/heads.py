"""Heads that start from the same features, computed as one convolution.

A head of SegNet is a 3×3 convolution followed, with nothing between, by a 1×1 one: together a single 3×3 convolution
with as many outputs as the 1×1 has. Two of those read the same features, and processors work on 16 channels or more
at once, so 7 + 1 outputs cost what 1 does. Both steps only regroup sums, for every λ anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor, nn

from palora_core.fast_layers.fused import is_pointwise
from palora_core.serving.trace import Trace

# Wider layers fill the vector units on their own.
NARROW = 32


@dataclass(eq=False)
class _Head:
    """One convolution, and the 1×1 one behind it if there is one."""

    name: str
    first: nn.Conv2d
    second_name: str = ""
    second: nn.Conv2d | None = None

    @property
    def channels(self) -> int:
        return (self.second or self.first).out_channels

    def write(self, weight: Tensor, bias: Tensor) -> None:
        """Write what this head computes as one convolution: ``weight`` [C, kh·kw·in] (channels last), ``bias`` [C]."""
        first = self.first.weight.detach().permute(0, 2, 3, 1).flatten(1)
        inner = _bias(self.first)
        if self.second is None:
            weight.copy_(first)
            bias.copy_(inner)
        else:
            outer = self.second.weight.detach().flatten(1)
            torch.mm(outer, first, out=weight)
            torch.addmv(_bias(self.second), outer, inner, out=bias)


class JoinedHeads:
    """Several heads on the same features as one convolution; each member hands out its own channels.

    Args:
        network: its modules are replaced.
        heads: at least one; what they read is the same tensor, and kernel, stride and padding are the same.
    """

    def __init__(self, network: nn.Module, heads: list[_Head]) -> None:
        self.heads = heads
        like, channels = heads[0].first, [head.channels for head in heads]
        rows = sum(channels)
        kernel = like.weight.detach()
        self._flat = kernel.new_zeros(rows, kernel[0].numel())
        self.weight = self._flat.view(rows, *like.kernel_size, like.in_channels).permute(0, 3, 1, 2)
        self.bias = kernel.new_zeros(rows)
        self._parts = list(zip(self._flat.split(channels), self.bias.split(channels)))
        assert not isinstance(like.padding, str)  # see _plain
        self._geometry = (like.stride, like.padding, like.dilation)
        self._channels = channels
        self._input: Tensor | None = None
        self._outputs: tuple[Tensor, ...] = ()
        self._left = 0
        for index, head in enumerate(heads):
            _replace(network, head.name, _Member(self, index))
            if head.second_name:
                _replace(network, head.second_name, nn.Identity())

    def update(self) -> None:
        """Take over the heads' present weights."""
        for head, (weight, bias) in zip(self.heads, self._parts):
            head.write(weight, bias)

    def output(self, x: Tensor, index: int) -> Tensor:
        """Channels of head ``index`` for features ``x``; the first one to ask computes for all of them."""
        if self._input is not x:
            y = torch.conv2d(x.to(self.weight.dtype), self.weight, self.bias, *self._geometry)
            self._outputs = y.split(self._channels, 1)
            self._input, self._left = x, len(self.heads)
        found = self._outputs[index]
        self._left -= 1
        if not self._left:  # nothing may be kept: the next input could be a new tensor in the same place
            self._input, self._outputs = None, ()
        return found


class _Member(nn.Module):
    """Stands where a head's convolution stood."""

    def __init__(self, joined: JoinedHeads, index: int) -> None:
        super().__init__()
        self._joined, self._index = joined, index

    def forward(self, x: Tensor) -> Tensor:
        """This head's channels."""
        return self._joined.output(x, self._index)


def join_heads(network: nn.Module, wiring: Trace) -> list[JoinedHeads]:
    """Join what can be joined in ``network``, in place; ``wiring`` is how its layers read each other."""
    modules = dict(network.named_modules())
    heads = [_head(modules, wiring, name) for name in wiring.order if _plain(modules[name]) and wiring.calls[name] == 1]
    inner = {head.second_name for head in heads}
    groups: dict[tuple, list[_Head]] = {}
    for head in heads:
        if head.name in inner or head.name not in wiring.source or head.channels > NARROW:
            continue
        conv = head.first
        geometry = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.weight.dtype)
        groups.setdefault((wiring.source[head.name], geometry), []).append(head)
    worth = [group for group in groups.values() if len(group) > 1 or group[0].second is not None]
    return [JoinedHeads(network, group) for group in worth]


def _head(modules: dict[str, nn.Module], wiring: Trace, name: str) -> _Head:
    first = modules[name]
    assert isinstance(first, nn.Conv2d)
    reader = wiring.only_reader(name)
    second = modules[reader] if reader is not None else None
    if reader is None or not _plain(second) or not is_pointwise(second) or second.out_channels > first.out_channels:
        return _Head(name, first)
    if second.weight.dtype != first.weight.dtype:
        return _Head(name, first)
    return _Head(name, first, reader, second)


def _plain(module: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    if type(module) is not nn.Conv2d or isinstance(module.padding, str):
        return False
    return module.groups == 1 and module.padding_mode == "zeros"


def _bias(conv: nn.Conv2d) -> Tensor:
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
