"""Answering λ after λ with one network: merge by a few vector additions into a flat buffer, BatchNorm folded in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from palora_core.conditioning.base import ParetoModel
from palora_core.machine import channels_last
from palora_core.normalisation import AnchoredBatchNorm, anchor_weights, batch_norms

FOLDABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
BLOCK = 1 << 16  # elements; a few of these fit into a core's cache


class LiveNetwork:
    """The plain network of whatever λ was asked for last; a new λ costs a few percent of a forward pass.

    Every tensor that is affine in λ is a view into one flat buffer, mixed by T − 1 vector additions on the simplex (T
    outside). A BatchNorm that follows a convolution is folded into its weight and bias, statistics of λ included.
    Convolutions run channels-last. Not thread-safe: keep one per worker.

    Args:
        model: the conditioned network; read once, later changes to it are not seen.
        example: inputs [B, …] used to find which BatchNorm follows which convolution, and to check the folding: where
            something else reads a convolution too, so that the outputs change, or without them, nothing is folded.
        dtype: precision of weights and activations; predictions are returned in float32.
    """

    def __init__(self, model: ParetoModel, example: Tensor | None = None, dtype: torch.dtype = torch.float32) -> None:
        self.model = model
        self.num_tasks = model.num_tasks
        basis = model.basis()
        self._affine = basis is not None
        example = example if self._affine else None
        # The folding is checked in single precision: rounding to bf16 may change more than a wrong fold would.
        self._prepare(basis, example, torch.float32)
        if example is not None and self._folds and not self._agrees(example):
            example = None
            self._prepare(basis, None, torch.float32)
        if dtype != torch.float32:
            self._prepare(basis, example, dtype)

    def _prepare(self, basis: Any, example: Tensor | None, dtype: torch.dtype) -> None:
        model, self.preference, self.dtype = self.model, None, dtype
        self.network = model.merge(self._centre()).eval().requires_grad_(False)
        if basis is None:
            return
        pairs = _conv_norm_pairs(self.network, example) if example is not None else []
        anchors = _anchor_statistics(model)
        self._flat = _FlatMix(self.network, basis)
        self._folds = [_Fold.make(self.network, conv, norm, anchors.get(norm)) for conv, norm in pairs]
        self._norms = [
            (norm, *anchors[name])
            for name, norm in self.network.named_modules()
            if name in anchors and name not in {norm for _, norm in pairs}
        ]
        self._install(dtype)

    def _centre(self) -> Tensor:
        return torch.full((self.num_tasks,), 1 / self.num_tasks)

    @torch.inference_mode()
    def _agrees(self, example: Any) -> bool:
        """Whether the folded network computes what the merged one does (a wrong fold is off by far more)."""
        example = example.to(next(self.model.parameters()))
        expected = _tensors(_as_float(self.model.merge(self._centre()).eval()(channels_last(example))))
        found = _tensors(self(example, self._centre()))
        return all((a - b).norm() <= 0.01 * b.norm() + 1e-6 for a, b in zip(found, expected))

    @torch.inference_mode()
    def __call__(self, x: Tensor, preference: Any) -> Any:
        """Predictions (float32) for inputs ``x`` [B, …] at λ [T]."""
        self.set(preference)
        x = channels_last(x.to(self.dtype))
        return _as_float(self.network(x))

    @torch.inference_mode()
    def set(self, preference: Any) -> None:
        """Make ``network`` the network of λ [T]; nothing happens if it is already."""
        preference = self.model.as_preference(preference)
        if self.preference is not None and torch.equal(preference, self.preference):
            return
        if self._affine:
            weights = anchor_weights(preference)
            self._flat.mix(preference)
            self._folding.apply(weights)
            self._flat.mix_scaled(preference)
            for norm, means, variances in self._norms:
                norm.running_mean.copy_(weights.to(means) @ means)
                norm.running_var.copy_(weights.to(variances) @ variances)
        else:
            self.network = self.model.merge(preference).eval().requires_grad_(False).to(self.dtype)
        self.preference = preference

    def _install(self, dtype: torch.dtype) -> None:
        """Put the folded modules and the flat buffer's views into the network, in the serving precision."""
        for fold in self._folds:
            fold.detach_norm(self.network)
        self.network.to(dtype)
        self.network.to(memory_format=torch.channels_last)
        constant = [fold for fold in self._folds if fold.is_constant(self._flat.names)]
        for fold in constant:
            self._flat.scale_(fold.conv_name + ".weight", fold.scale())
        self._flat.install(self.network, dtype)
        for fold in self._folds:
            fold.install(self._flat)
        if dtype == torch.bfloat16 and next(self.network.parameters()).device.type == "cpu":
            _quicken_relus(self.network)
        self._folding = _Folding([fold for fold in self._folds if fold not in constant])
        self._flat.scale_by(self._folding.rows)


class _FlatMix:
    """All λ-affine tensors of a network side by side: value(λ) = base + Σ_t λ_t delta_t, one vector of length P."""

    def __init__(self, network: nn.Module, basis: Any) -> None:
        self.names = list(basis)
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
        self.places: dict[str, slice] = {}
        offset = 0
        for name, dims in zip(self.names, order):
            shape = self.bases[name].shape
            self.places[name] = slice(offset, offset + shape.numel())
            chunk = self.buffer[self.places[name]].view([shape[d] for d in dims])
            self.views[name] = chunk.permute([dims.index(d) for d in range(len(dims))])
            _replace(network, name, self.views[name])
            offset += shape.numel()
        self.bases, self.deltas = {}, {}
        self.scale_by({})

    def scale_by(self, rows: Mapping[str, Tensor]) -> None:
        """From now on, multiply the rows of these tensors by the vectors [C] given, which may change between mixes."""
        scaled = sorted((name for name in self.places if name in rows), key=lambda name: self.places[name].start)
        self._blocks: list[_Block] = []
        self._scaled: list[_Block] = []
        end = 0
        for name in scaled:
            place, scale = self.places[name], rows[name]
            self._blocks += [self._block(slice(end, place.start))] if place.start > end else []
            width = (place.stop - place.start) // len(scale)
            # Blocks that stay in the cache between mixing and scaling; on a GPU a launch costs more than the memory.
            count = max(1, BLOCK // width) if scale.device.type == "cpu" else len(scale)
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

    def mix(self, preference: Tensor) -> None:
        """Write value(λ) into the buffer, except where rows are scaled."""
        for block in self._blocks:
            block.mix(preference.tolist())

    def mix_scaled(self, preference: Tensor) -> None:
        """Write value(λ) into the buffer where rows are scaled."""
        weights = preference.tolist()
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


@dataclass(eq=False)
class _Fold:
    """One convolution with the BatchNorm behind it: y = s·(Wx) + (b − μ)·s + β with s = γ/√(σ² + ε)."""

    conv_name: str
    norm_name: str
    conv: nn.Module
    norm: nn.Module
    means: Tensor
    variances: Tensor
    conv_bias: Tensor | None = None
    plain: Tensor | None = None  # the convolution's weight where λ does not mix it
    moves: bool = False  # whether λ mixes γ, β or the convolution's bias

    @staticmethod
    def make(network: nn.Module, conv: str, norm: str, anchors: tuple[Tensor, Tensor] | None) -> _Fold:
        """Collect the two layers and the statistics at the anchors (or the one set of running ones)."""
        layer = network.get_submodule(norm)
        means, variances = anchors or (layer.running_mean[None], layer.running_var[None])
        return _Fold(conv, norm, network.get_submodule(conv), layer, means, variances)

    def is_constant(self, affine: list[str]) -> bool:
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

    def install(self, flat: _FlatMix) -> None:
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


class _Folding:
    """The λ-dependent folds of a network at once: their vectors lie side by side, [ΣC] long.

    Scales and shifts of all layers at a new λ are a dozen operations; ten small ones per layer cost as much as the mix.
    """

    def __init__(self, folds: list[_Fold]) -> None:
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


class _HalfReLU(nn.Module):
    """max(x, 0) in bfloat16 by its bits: as integers, negative numbers are below 0 and the others stay what they are.

    A CPU computes bfloat16 in single precision and back, five times slower than the integers' maximum.
    """

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        if x.dtype != torch.bfloat16:
            return torch.relu(x)
        bits = x.view(torch.int16)
        if self.inplace:
            bits.clamp_min_(0)
            return x
        return bits.clamp_min(0).view(torch.bfloat16)


def _quicken_relus(network: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.ReLU:
                setattr(parent, name, _HalfReLU(child.inplace))


def _anchor_statistics(model: ParetoModel) -> dict[str, tuple[Tensor, Tensor]]:
    layers = model.network.named_modules()
    return {
        name: (layer.anchor_mean.detach(), layer.anchor_var.detach())
        for name, layer in layers
        if isinstance(layer, AnchoredBatchNorm)
    }


def _conv_norm_pairs(network: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """(convolution, BatchNorm) names where the one's output is what the other reads, each used once."""
    names = {module: name for name, module in network.named_modules()}
    norms = set(batch_norms(network))
    outputs: list[tuple[Tensor, nn.Module]] = []
    read: list[tuple[nn.Module, nn.Module]] = []
    handles: list[RemovableHandle] = []

    def produced(module: nn.Module, _: Any, output: Tensor) -> None:
        outputs.append((output, module))

    def consumed(module: nn.Module, inputs: tuple[Tensor]) -> None:
        read.extend((conv, module) for output, conv in outputs if output is inputs[0])

    for module in names:
        if isinstance(module, FOLDABLE):
            handles.append(module.register_forward_hook(produced))
        elif module in norms:
            handles.append(module.register_forward_pre_hook(consumed))
    try:
        with torch.no_grad():
            network(example.to(next(network.parameters())))
    finally:
        for handle in handles:
            handle.remove()
    runs = [conv for _, conv in outputs]
    return [
        (names[conv], names[norm])
        for conv, norm in read
        if runs.count(conv) == 1 and [n for _, n in read].count(norm) == 1 and [c for c, _ in read].count(conv) == 1
    ]


def _memory_order(tensor: Tensor) -> list[int]:
    return [0, 2, 3, 1] if tensor.dim() == 4 else list(range(tensor.dim()))


def _flatten(tensors: list[Tensor], order: list[list[int]]) -> Tensor:
    if not tensors:
        return torch.empty(0)
    return torch.cat([tensor.permute(dims).reshape(-1) for tensor, dims in zip(tensors, order)])


def _replace(network: nn.Module, name: str, value: Tensor) -> None:
    module, _, key = name.rpartition(".")
    network.get_submodule(module)._parameters[key] = nn.Parameter(value, requires_grad=False)


def _as_float(predictions: Any) -> Any:
    if isinstance(predictions, Tensor):
        return predictions.float() if predictions.is_floating_point() else predictions
    if isinstance(predictions, dict):
        return {name: _as_float(value) for name, value in predictions.items()}
    if isinstance(predictions, list | tuple):
        return type(predictions)(_as_float(value) for value in predictions)
    return predictions


def _tensors(predictions: Any) -> list[Tensor]:
    if isinstance(predictions, Tensor):
        return [predictions]
    items = predictions.values() if isinstance(predictions, dict) else predictions
    return [tensor for item in items for tensor in _tensors(item)] if isinstance(items, Iterable) else []
