"""All λ-affine tensors of a network in one buffer, written anew for every λ by a few vector operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BLOCK = 1 << 18  # bytes; a few of these fit into a core's cache


class FlatMix:
    """Tensors side by side: value(λ) = base + Σ_t λ_t delta_t, one vector of length P.

    Args:
        basis: name → (base, deltas [T, …]), see :meth:`ParetoModel.basis`.
        names: which of them live in this buffer.
    """

    def __init__(self, basis: Mapping[str, tuple[Tensor, Tensor]], names: Iterable[str]) -> None:
        self.names = list(names)
        self.bases = {name: basis[name][0].detach().clone() for name in self.names}
        self.deltas = {name: basis[name][1].detach().clone() for name in self.names}

    def scale_(self, name: str, scale: Tensor) -> None:
        """Scale the rows of one tensor, in the base and in every delta."""
        shape = (-1, *[1] * (self.bases[name].dim() - 1))
        self.bases[name].mul_(scale.view(shape))
        self.deltas[name].mul_(scale.view(1, *shape))

    def install(self, network: nn.Module, dtype: torch.dtype) -> None:
        """Make the network's tensors views into the buffer; keep the mix as (base + last, differences, last)."""
        order = [_memory_order(self.bases[name]) for name in self.names]
        base = _flatten([self.bases[name] for name in self.names], order)
        tasks = len(next(iter(self.deltas.values()))) if self.names else 0
        deltas = [_flatten([self.deltas[name][t] for name in self.names], order) for t in range(tasks)]
        # With Σ λ_t = 1: base + Σ λ_t d_t = (base + d_T) + Σ_{t<T} λ_t (d_t − d_T), one addition less.
        self._start = (base + deltas[-1]).to(dtype) if deltas else base.to(dtype)
        self._differences = [(delta - deltas[-1]).to(dtype) for delta in deltas[:-1]]
        self._last = deltas[-1].to(dtype) if deltas else base.to(dtype)
        self.buffer = self._start.clone()
        self.views: dict[str, Tensor] = {}
        self.slices: dict[str, slice] = {}
        offset = 0
        for name, dims in zip(self.names, order):
            shape = self.bases[name].shape
            self.slices[name] = slice(offset, offset + shape.numel())
            chunk = self.buffer[self.slices[name]].view([shape[d] for d in dims])
            self.views[name] = chunk.permute([dims.index(d) for d in range(len(dims))])
            _replace(network, name, self.views[name])
            offset += shape.numel()
        self.bases, self.deltas = {}, {}
        self.scale_by({})

    def scale_by(self, rows: Mapping[str, Tensor]) -> None:
        """From now on, multiply the rows of these tensors by the vectors [C] given, which may change between mixes."""
        scaled = sorted((name for name in self.slices if name in rows), key=lambda name: self.slices[name].start)
        self._blocks: list[_Block] = []
        self._scaled: list[_Block] = []
        end = 0
        for name in scaled:
            place, scale = self.slices[name], rows[name]
            self._blocks += [self._block(slice(end, place.start))] if place.start > end else []
            width = (place.stop - place.start) // len(scale)
            # Blocks that stay in the cache between mixing and scaling; on a GPU a launch costs more than the memory.
            on_cpu = scale.device.type == "cpu"
            count = max(1, BLOCK // (width * self.buffer.element_size())) if on_cpu else len(scale)
            for first, part in zip(range(0, len(scale), count), scale.split(count)):
                start = place.start + first * width
                self._scaled.append(self._block(slice(start, start + len(part) * width), part))
            end = place.stop
        if end < len(self.buffer):
            self._blocks.append(self._block(slice(end, len(self.buffer))))

    def _block(self, place: slice, scale: Tensor | None = None) -> _Block:
        shape = (-1,) if scale is None else (len(scale), -1)
        start, last, out = (t[place].view(shape) for t in (self._start, self._last, self.buffer))
        differences = [t[place].view(shape) for t in self._differences]
        return _Block(start, differences, last, out, None if scale is None else scale.view(-1, 1))

    def mix(self, weights: list[float]) -> None:
        """Write value(λ) into the buffer, except where rows are scaled; ``weights`` are λ."""
        for block in self._blocks:
            block.mix(weights)

    def mix_scaled(self, weights: list[float]) -> None:
        """Write value(λ) into the buffer where rows are scaled."""
        for block in self._scaled:
            block.mix(weights)


@dataclass(eq=False)
class _Block:
    """A stretch of the flat buffer: start + Σ_{t<T} λ_t difference_t (+ (Σ λ_t − 1) last), times ``scale`` by rows."""

    start: Tensor
    differences: list[Tensor]
    last: Tensor
    out: Tensor
    scale: Tensor | None

    def mix(self, weights: list[float]) -> None:
        """Write the value for λ = ``weights``."""
        source = self.start
        for weight, difference in zip(weights, self.differences):
            torch.add(source, difference, alpha=weight, out=self.out)
            source = self.out
        excess = sum(weights) - 1
        if abs(excess) > 1e-6:
            torch.add(source, self.last, alpha=excess, out=self.out)
            source = self.out
        if self.scale is not None:
            torch.mul(source, self.scale, out=self.out)
        elif source is self.start:
            self.out.copy_(source)


def _memory_order(tensor: Tensor) -> list[int]:
    return [0, 2, 3, 1] if tensor.dim() == 4 else list(range(tensor.dim()))


def _flatten(tensors: list[Tensor], order: list[list[int]]) -> Tensor:
    if not tensors:
        return torch.empty(0)
    return torch.cat([tensor.permute(dims).reshape(-1) for tensor, dims in zip(tensors, order)])


def _replace(network: nn.Module, name: str, value: Tensor) -> None:
    module, _, key = name.rpartition(".")
    # Through the module's own way: recurrent layers keep a second list of their weights.
    setattr(network.get_submodule(module), key, nn.Parameter(value, requires_grad=False))
