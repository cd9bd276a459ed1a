"""BatchNorm folded into the convolution before it, for statistics (and γ, β, bias) that may depend on λ."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from palora_core.serving.flat import FlatMix


class _Conv(Protocol):
    """What is read and written of a convolution or linear layer."""

    weight: Tensor
    bias: Tensor | None
    _parameters: dict[str, nn.Parameter | None]


class _Norm(Protocol):
    """What is read and written of a BatchNorm layer."""

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor
    running_var: Tensor
    eps: float
    _parameters: dict[str, nn.Parameter | None]


@dataclass(eq=False)
class Fold:
    """One convolution with the BatchNorm behind it: y = s·(Wx) + (b − μ)·s + β with s = γ/√(σ² + ε)."""

    conv_name: str
    norm_name: str
    conv: _Conv
    norm: _Norm
    means: Tensor
    variances: Tensor
    conv_bias: Tensor | None = None
    plain: Tensor | None = None  # the convolution's weight where λ does not mix it
    moves: bool = False  # whether λ mixes γ, β or the convolution's bias

    @staticmethod
    def make(network: nn.Module, conv: str, norm: str, anchors: tuple[Tensor, Tensor] | None) -> Fold:
        """Collect the two layers and the statistics at the anchors (or the one set of running ones)."""
        layer = cast(_Norm, network.get_submodule(norm))
        means, variances = anchors or (layer.running_mean[None], layer.running_var[None])
        return Fold(conv, norm, cast(_Conv, network.get_submodule(conv)), layer, means, variances)

    def is_constant(self, affine: Collection[str]) -> bool:
        """Whether scale and shift do not depend on λ, so that they fold into base and deltas once."""
        mixed = f"{self.conv_name}.weight" in affine
        return mixed and len(self.means) == 1 and not any(name in affine for name in self._vector_names())

    def scale(self) -> Tensor:
        """s [C] at the first anchor."""
        scale = (self.variances[0] + self.norm.eps).rsqrt()
        return scale if self.norm.weight is None else scale * self.norm.weight.float()

    def shift(self, scale: Tensor) -> Tensor:
        """(b − μ)·s + β [C] at the first anchor."""
        mean = self.means[0]
        bias = 0 if self.conv_bias is None else self.conv_bias.float()
        return (bias - mean) * scale + (0 if self.norm.bias is None else self.norm.bias.float())

    def detach_norm(self, network: nn.Module) -> None:
        """Take the BatchNorm out of the network's forward; this object keeps it."""
        parent, _, child = self.norm_name.rpartition(".")
        setattr(network.get_submodule(parent), child, nn.Identity())

    def install(self, flat: FlatMix) -> None:
        """Give the convolution a bias of its own; remember where the mixed tensors live."""
        for name in ("weight", "bias"):
            view = flat.views.get(f"{self.norm_name}.{name}")
            if view is not None:
                self.norm._parameters[name] = nn.Parameter(view, requires_grad=False)
        bias = flat.views.get(f"{self.conv_name}.bias", self.conv.bias)
        self.conv_bias = None if bias is None else bias.detach()
        weight = self.conv.weight.detach()
        self.plain = None if f"{self.conv_name}.weight" in flat.views else weight.clone()
        self.moves = any(name in flat.views for name in self._vector_names())
        shift = self.shift(self.scale()).to(weight.dtype)
        self.conv._parameters["bias"] = nn.Parameter(shift, requires_grad=False)

    def _vector_names(self) -> tuple[str, str, str]:
        return f"{self.norm_name}.weight", f"{self.norm_name}.bias", f"{self.conv_name}.bias"

    def vectors(self) -> tuple[Tensor, Tensor, Tensor]:
        """γ, β and the convolution's bias, [C] each."""
        like = self.means[0]
        found = (self.norm.weight, self.norm.bias, self.conv_bias)
        fill = (1.0, 0.0, 0.0)
        vectors = [torch.full_like(like, f) if t is None else t.detach().to(like) for t, f in zip(found, fill)]
        return vectors[0], vectors[1], vectors[2]


class Folding:
    """The λ-dependent folds of a network at once: their vectors lie side by side, [ΣC] long.

    Scales and shifts of all layers at a new λ are a dozen operations; ten small ones per layer cost as much as the mix.
    """

    def __init__(self, folds: list[Fold]) -> None:
        self.folds = folds
        self.rows: dict[str, Tensor] = {}
        if not folds:
            return
        anchors = max(len(fold.means) for fold in folds)
        sizes = [fold.means.shape[1] for fold in folds]

        def joined(name: str) -> Tensor:  # one row serves all anchors, whose weights sum to 1
            return torch.cat([getattr(fold, name).expand(anchors, -1) for fold in folds], 1)

        self.total = sum(sizes)
        self.statistics = torch.cat([joined("means"), joined("variances")], 1)  # [anchors, 2 ΣC]
        self.eps = torch.cat([torch.full_like(fold.means[0], fold.norm.eps) for fold in folds])
        self.vectors = self._joined_vectors()
        self.moving = any(fold.moves for fold in folds)
        weights = [fold.conv.weight.detach() for fold in folds]
        self.scales = torch.ones(self.total, dtype=weights[0].dtype, device=weights[0].device)
        self.biases = torch.zeros_like(self.scales)
        self.rows = {f"{fold.conv_name}.weight": scale for fold, scale in zip(folds, self.scales.split(sizes))}
        shapes = [(-1, *[1] * (weight.dim() - 1)) for weight in weights]
        views = [scale.view(shape) for scale, shape in zip(self.scales.split(sizes), shapes)]
        self.plain = [(w, f.plain, view) for w, f, view in zip(weights, folds, views) if f.plain is not None]
        for fold, bias in zip(folds, self.biases.split(sizes)):
            fold.conv._parameters["bias"] = nn.Parameter(bias, requires_grad=False)

    def _joined_vectors(self) -> tuple[Tensor, Tensor, Tensor]:
        gammas, betas, biases = zip(*(fold.vectors() for fold in self.folds))
        return torch.cat(gammas), torch.cat(betas), torch.cat(biases)

    def apply(self, weights: Tensor) -> None:
        """Biases and rows' scales at the given anchor weights [anchors], after γ, β and biases were mixed."""
        if not self.folds:
            return
        gamma, beta, bias = self._joined_vectors() if self.moving else self.vectors
        # Without statistics per preference there is one row only, and the weights do not matter.
        mixed = self.statistics[0] if len(self.statistics) == 1 else weights.to(self.statistics) @ self.statistics
        mean, variance = mixed.split(self.total)
        scale = (variance + self.eps).rsqrt_().mul_(gamma)
        self.biases.copy_(torch.addcmul(beta, bias - mean, scale))
        self.scales.copy_(scale)
        for weight, plain, rows in self.plain:
            torch.mul(plain, rows, out=weight)
