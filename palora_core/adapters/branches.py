"""Layers that add the adapters' share to what they compute: y = W x + α/r · Σ_t λ_t B_t (A_t x)."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.adapters.compute import as_branches
from palora_core.adapters.deferred import Deferred
from palora_core.adapters.layer import LowRankLayer, is_opaque
from palora_core.adapters.product import branch, product
from palora_core.errors import UserError

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class BranchingLayer(LowRankLayer):
    """Base of layers that can run as branches; :mod:`palora_core.adapters.compute` says when they do."""

    obstacle = None
    # Whether several rows in a row of what it reads belong to one sample, see palora_core.adapters.rows.
    folds = False

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The layer's own forward on W(λ), or on W with the adapters' branch."""
        active = self.active.now
        merged = active is None or (active.tensors is not None and (id(self), "weight") in active.tensors)
        if active is None or merged or not as_branches(self, active.preference, x, self.tokens(x)):
            y: Tensor = super().forward(x, *args, **kwargs)
            return y
        return self.branched(x, scales_of(self, active.preference, x, self.folds))

    def plain_(self, weight: Tensor) -> None:
        """As for every layer."""
        super().plain_(weight)
        self.__dict__.pop("folds", None)

    def computed_weight(self, preference: Tensor) -> Tensor:
        """W(λ), not before somebody computes with it where the layer itself does not need it."""
        make = functools.partial(super().computed_weight, preference)
        base = self.base_weight
        needed = preference.dim() == 1 and base.requires_grad
        return make() if needed or torch.compiler.is_compiling() else Deferred.like(base, make)

    def tokens(self, x: Tensor) -> int:
        """How many times the weight is applied to a part of ``x``."""
        return x.numel() // max(1, x.shape[-1])

    def branched(self, x: Tensor, scales: Tensor) -> Tensor:
        """The result for s [T·r] or [B, T·r]."""
        raise NotImplementedError


class LinearBranches(BranchingLayer):
    """A linear layer."""

    bias: Tensor | None

    def branched(self, x: Tensor, scales: Tensor) -> Tensor:
        """One operation, see :mod:`palora_core.adapters.product`."""
        down, up = self.adapter_a, self.adapter_b.transpose(1, 2)
        return product(x, self.base_weight, self.bias, down, up, fitting(scales, x))


class TransposedBranches(LinearBranches):
    """transformers' Conv1D, a linear layer whose weight is [in, out]."""

    def branched(self, x: Tensor, scales: Tensor) -> Tensor:
        """The same with the factors in each other's place."""
        down, up = self.adapter_b.transpose(1, 2), self.adapter_a
        return product(x, self.base_weight.t(), self.bias, down, up, fitting(scales, x))


class ConvBranches(BranchingLayer):
    """A convolution in kernel form: one to T·r channels, scaled, and a 1×1 one behind it, beside the layer's own."""

    bias: Tensor | None
    groups: int
    in_channels: int
    stride: tuple[int, ...]
    kernel_size: tuple[int, ...]

    def tokens(self, x: Tensor) -> int:
        """Positions of the output, nearly."""
        count = x.numel() // self.in_channels
        for step in self.stride:
            count //= step
        return count

    def branched(self, x: Tensor, scales: Tensor) -> Tensor:
        """Both convolutions; in a grouped layer every group of outputs has the factors on its own inputs."""
        dims, weight = len(self.kernel_size), self.base_weight
        tasks, rank, _ = self.adapter_a.shape
        first = self.adapter_a.reshape(tasks * rank, *weight.shape[1:])
        second = self.adapter_b.transpose(0, 1).reshape(len(weight), tasks * rank, *[1] * dims)
        if self.groups > 1:
            first = first.repeat(self.groups, *[1] * (dims + 1))
            scales = scales.repeat(*[1] * (scales.dim() - 1), self.groups)
        y = self._conv_forward(x, weight, self.bias)  # type: ignore[operator]
        inner = self._conv_forward(x.to(first.dtype), first, None)  # type: ignore[operator]
        inner = inner * scales.view(*scales.shape, *[1] * dims).to(inner.dtype)
        convolve = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
        return y + convolve(inner, second, groups=self.groups).to(y.dtype)


class EmbeddingBranches(BranchingLayer):
    """An embedding: W[i] + α/r · Σ_t λ_t B_t[i] A_t."""

    padding_idx: int | None

    def tokens(self, x: Tensor) -> int:
        """Words: beside a table of in·out numbers a row of it costs 1 / in of in + out, about."""
        return x.numel()

    def branched(self, x: Tensor, scales: Tensor) -> Tensor:
        """Rows of W and of B; as with torch's own layer, the padding's row passes no gradient on."""
        y: Tensor = F.embedding(x, self.base_weight, self.padding_idx)
        rows = torch.cat([F.embedding(x, factor, self.padding_idx) for factor in self.adapter_b], -1)
        inner = rows * fitting(scales, rows)
        found = F.linear(inner, self.adapter_a.flatten(0, 1).t())
        if self.padding_idx is not None:
            found = torch.where((x == self.padding_idx).unsqueeze(-1), found.detach(), found)
        return y + found.to(y.dtype)


class QuantisedBranches(BranchingLayer):
    """A linear layer with a quantised weight, which nothing can be added to: W x as it computes that, always.

    It trains and answers at any λ; a plain layer for one λ does not exist.
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
        y, active = super(BranchingLayer, self).forward(x, *args, **kwargs), self.active.now
        if active is None:
            return y
        scales = fitting(scales_of(self, active.preference, x, self.folds), x)
        return branch(y, x, self.adapter_a, self.adapter_b.transpose(1, 2), scales)

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


def scales_of(layer: LowRankLayer, preference: Tensor, x: Tensor, folds: bool = False) -> Tensor:
    """α/r · λ, every λ_t repeated r times: [T·r], or [B, T·r] for λ [B, T].

    Args:
        layer: whose adapters are scaled.
        preference: λ.
        x: what the layer reads, samples along its first axis.
        folds: whether several rows of ``x`` may belong to one sample.

    Raises:
        UserError: ``x`` does not have one row per λ.
    """
    own = layer.adapter_scale * preference.to(layer.adapter_a)
    if own.dim() > 1 and not (x.dim() and len(x) == len(own)):
        if not (folds and x.dim() and len(x) % len(own) == 0):
            raise UserError(
                f"The preference has {len(own)} rows, one per sample, but a {layer.plain_class.__name__} with adapters "
                f"reads an input of shape {list(x.shape)}: give one λ [T], or one row for each of its rows, or leave "
                "that layer out with exclude=."
            )
        own = own.repeat_interleave(len(x) // len(own), 0)
    rank = layer.adapter_a.shape[1]
    return own.unsqueeze(-1).expand(*own.shape, rank).flatten(-2)


def fitting(scales: Tensor, x: Tensor) -> Tensor:
    """s [B, T·r] with axes of 1 between, as [B, …, T·r] beside ``x`` [B, …, in]; [T·r] as it is."""
    return scales if scales.dim() == 1 else scales.view(len(scales), *[1] * (x.dim() - 2), scales.shape[-1])


def mixin_for(layer: nn.Module, columns: int, rows: int) -> type[LowRankLayer]:
    """The mixin for a plain layer whose factors are A [r, columns] and B [rows, r].

    A layer with a ``forward`` of its own may do anything with its weight, and has to be given W(λ).
    """
    if is_opaque(layer):
        return QuantisedBranches
    forward = type(layer).forward
    if isinstance(layer, nn.Linear) and forward is nn.Linear.forward:
        return LinearBranches
    if type(layer).__module__ == "transformers.pytorch_utils" and type(layer).__name__ == "Conv1D":
        return TransposedBranches
    if isinstance(layer, nn.Embedding) and forward is nn.Embedding.forward and not layer.scale_grad_by_freq:
        return EmbeddingBranches
    if isinstance(layer, CONVS) and any(forward is conv.forward for conv in CONVS):
        own = any(type(layer)._conv_forward is conv._conv_forward for conv in CONVS)
        if own and rows == layer.out_channels and columns == layer.weight[0].numel():
            return ConvBranches
    return LowRankLayer
