"""Answering λ after λ with one network: merge by a few vector additions into a flat buffer, BatchNorm folded in."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from palora_core import batches
from palora_core.batches import Caller
from palora_core.conditioning.base import ParetoModel
from palora_core.machine import autocast, channels_last, channels_last_
from palora_core.normalisation import AnchoredBatchNorm, anchor_weights_of, norms_with_statistics
from palora_core.serving import formats
from palora_core.serving.flat import FlatMix
from palora_core.serving.folding import Fold, Folding
from palora_core.serving.heads import JoinedHeads, join_heads
from palora_core.serving.trace import Trace, trace
from palora_core.sharding import whole

FOLDABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class LiveNetwork:
    """The plain network of whatever λ was asked for last; a new λ costs a few percent of a forward pass.

    Every tensor that is affine in λ is a view into one flat buffer, mixed by T − 1 vector additions on the simplex (T
    outside). A BatchNorm that follows a convolution is folded into its weight and bias, statistics of λ included;
    narrow heads on the same features become one convolution. Convolutions run channels-last. Not thread-safe: keep one
    per worker.

    Args:
        model: the conditioned network; read once, later changes to it are not seen.
        example: inputs (any nesting, B items) used to find which layer reads which, and to check what was rearranged:
            where outputs change, or without an example, the network is left as it is.
        dtype: precision of weights and activations; predictions are returned in float32.
        exact: that many convolutions and linear layers, the first that run, are left in float32.
        caller: how inputs become arguments; by default as the network's ``forward`` asks.

    Attributes:
        device: where the network is, and inputs are expected.
        layers: convolutions and linear layers that run; 0 without an example.
    """

    def __init__(
        self,
        model: ParetoModel,
        example: Any = None,
        dtype: torch.dtype = torch.float32,
        exact: int = 0,
        caller: Caller | None = None,
    ) -> None:
        model = whole(model)
        self.model, self.exact = model, exact
        self.caller = caller or Caller(model.network)
        self.num_tasks = model.num_tasks
        self.preference: list[float] | None = None
        self._centre = torch.full((self.num_tasks,), 1 / self.num_tasks)
        self.device = next(model.parameters()).device
        basis = model.basis()
        self._affine = basis is not None
        if not self._affine:
            self.dtype, self.layers = dtype, 0
            self.network = self._merged()
            return
        if example is not None:
            example = batches.to_device(batches.floating(example, torch.float32), self.device)
        # What was rearranged is checked in single precision: rounding to bf16 may change more than a mistake would.
        for fold, join in ((True, True), (True, False), (False, False)):
            expected = self._prepare(basis, example, torch.float32, fold, join)
            if example is None or not (self._folds or self._heads) or self._agrees(example, expected):
                break
        self._rearranged = fold, join
        self._example = example
        if dtype != torch.float32:
            self._prepare(basis, example, dtype, fold, join)

    def in_format(self, dtype: torch.dtype, exact: int = 0) -> LiveNetwork:
        """The same network in another number format, without another check of how it is rearranged."""
        other = copy.copy(self)
        other.exact = exact
        if self._affine:
            other._prepare(self.model.basis(), self._example, dtype, *self._rearranged)
        else:
            other.dtype, other.preference = dtype, None
        return other

    # -- use ---------------------------------------------------------------------------------------------------------
    @torch.inference_mode()
    def __call__(self, inputs: Any, preference: Any) -> Any:
        """Predictions (float32, in the network's own containers) for inputs of B items at λ [T].

        λ may be one per item, [B, T]: the conditioned network, which has no merged weights, answers then.
        """
        if _is_per_item(preference):
            with autocast(self.device, self.dtype):
                return _as_float(self.caller(partial(self._conditioned, preference=preference), inputs))
        self.set(preference)
        return _as_float(self.caller(self.network, self._input(inputs)))

    @cached_property
    def _conditioned(self) -> ParetoModel:
        """The model as it evaluates; its own mode stays what it is."""
        return copy.deepcopy(self.model).eval() if self.model.training else self.model

    @torch.inference_mode()
    def set(self, preference: Any) -> None:
        """Make ``network`` the network of λ [T]; nothing happens if it is already."""
        weights = self._weights(preference)
        if weights == self.preference:
            return
        if self._affine:
            self._mix(weights)
        else:
            self.network = self.model.merge(torch.tensor(weights)).eval().requires_grad_(False).to(self.dtype)
        self.preference = weights

    @contextmanager
    def at(self, preference: Any) -> Iterator[nn.Module]:
        """A block in which ``network`` is that of λ [T], for anything it can do."""
        self.set(preference)
        yield self.network

    def _weights(self, preference: Any) -> list[float]:
        """λ as numbers; looked at without tensor operations where that can be, since those cost more than the check."""
        if isinstance(preference, Tensor) and preference.dtype == torch.float32 and len(preference.shape) == 1:
            weights = preference.tolist()
            if len(weights) == self.num_tasks and all(map(math.isfinite, weights)):
                return weights
        return self.model.as_preference(preference).tolist()

    def _mix(self, weights: list[float]) -> None:
        anchors = torch.tensor(anchor_weights_of(weights), device=self.device)
        for part in self._parts:
            part.flat.mix(weights)
            part.folding.apply(anchors)
            part.flat.mix_scaled(weights)
        for norm, means, variances in self._norms:
            norm.running_mean.copy_(anchors.to(means) @ means)
            norm.running_var.copy_(anchors.to(variances) @ variances)
        for heads in self._heads:
            heads.update()

    # -- building ----------------------------------------------------------------------------------------------------
    def _merged(self) -> nn.Module:
        return self.model.merge(self._centre).eval().requires_grad_(False).to(getattr(self, "dtype", torch.float32))

    def _prepare(self, basis: Any, example: Tensor | None, dtype: torch.dtype, fold: bool, join: bool) -> Any:
        """Build the network anew; returns what the merged one, before it was rearranged, gives for the example."""
        self.preference, self.dtype = None, dtype
        # A network of doubles or of halves is looked at in single precision, too, as the example is.
        self.network = self.model.merge(self._centre).eval().requires_grad_(False).to(torch.float32)
        wiring = self._trace(example) if example is not None else Trace()
        self.layers = formats.count_layers(self.network, wiring)
        pairs = _conv_norm_pairs(self.network, wiring) if fold else []
        exact = formats.exact_layers(self.network, wiring, self.exact) if self.exact else set()
        anchors = _anchor_statistics(self.model)
        self._folds = [Fold.make(self.network, conv, norm, anchors.get(norm)) for conv, norm in pairs]
        folded = {norm for _, norm in pairs}
        self._norms = [
            (norm, *anchors[name])
            for name, norm in self.network.named_modules()
            if name in anchors and name not in folded
        ]
        for one in self._folds:
            one.detach_norm(self.network)
            (exact.add if one.conv_name in exact else exact.discard)(one.norm_name)
        formats.cast(self.network, dtype, exact)
        channels_last_(self.network)
        self._parts = self._install(basis, dtype, exact)
        self._heads: list[JoinedHeads] = []
        if example is not None and join:
            self._heads = join_heads(self.network, self._trace(self._input(example)))
        self._use_fast_layers()
        return wiring.outputs

    def _install(self, basis: Any, dtype: torch.dtype, exact: Set[str]) -> list[_Part]:
        """One buffer per number format, its views in the network."""
        parts = []
        groups = [(torch.float32, True), (dtype, False)] if exact else [(dtype, False)]
        for own, inside in groups:
            names = [name for name in basis if (name.rpartition(".")[0] in exact) == inside]
            folds = [fold for fold in self._folds if (fold.conv_name in exact) == inside]
            flat = FlatMix(basis, names)
            constant = [fold for fold in folds if fold.is_constant(flat.names)]
            for fold in constant:
                flat.scale_(fold.conv_name + ".weight", fold.scale())
            flat.install(self.network, own)
            for fold in folds:
                fold.install(flat)
            folding = Folding([fold for fold in folds if fold not in constant])
            flat.scale_by(folding.rows)
            parts.append(_Part(flat, folding))
        return parts

    def _trace(self, example: Any) -> Trace:
        return trace(self.network, lambda: self.caller(self.network, example))

    def _input(self, inputs: Any) -> Any:
        dtype = torch.float32 if self.exact else self.dtype
        return batches.mapped(lambda x: channels_last(x.to(dtype) if x.is_floating_point() else x), inputs)

    def _use_fast_layers(self) -> None:
        if self.device.type != "cpu":
            return
        if self.dtype == torch.bfloat16:
            formats.use_half_relus(self.network)
        else:
            formats.use_linear_pointwise(self.network)

    @torch.inference_mode()
    def _agrees(self, example: Tensor, outputs: Any) -> bool:
        """Whether the rearranged network computes what the merged one does (a mistake is off by far more)."""
        expected = batches.tensors(_as_float(outputs))
        try:
            found = batches.tensors(self(example, self._centre))
        except RuntimeError:  # shapes that no longer fit
            return False
        return len(found) == len(expected) and all(
            a.shape == b.shape and (a - b).norm() <= 0.01 * b.norm() + 1e-6 for a, b in zip(found, expected)
        )


@dataclass(frozen=True)
class _Part:
    """The tensors of one number format, and the folds among them."""

    flat: FlatMix
    folding: Folding


def _anchor_statistics(model: ParetoModel) -> dict[str, tuple[Tensor, Tensor]]:
    layers = model.network.named_modules()
    return {
        name: (layer.anchor_mean.detach(), layer.anchor_var.detach())
        for name, layer in layers
        if isinstance(layer, AnchoredBatchNorm)
    }


def _conv_norm_pairs(network: nn.Module, wiring: Trace) -> list[tuple[str, str]]:
    """(convolution, BatchNorm) names where the one's output is what the other reads, each used once."""
    layers = set(norms_with_statistics(network))
    norms = {name for name, module in network.named_modules() if module in layers}
    convs = [name for name in wiring.order if isinstance(network.get_submodule(name), FOLDABLE)]
    readers = {name: wiring.only_reader(name) for name in convs}
    return [(conv, norm) for conv, norm in readers.items() if norm is not None and norm in norms]


def _is_per_item(preference: Any) -> bool:
    """Whether this is meant as one λ per item; whether it can be is the model's to say."""
    if isinstance(preference, list | tuple):
        return len(preference) > 0 and hasattr(preference[0], "__len__") and not isinstance(preference[0], str)
    return getattr(preference, "ndim", 1) == 2


def _as_float(predictions: Any) -> Any:
    """Predictions in float32, contiguous: whatever reads them next goes through each channel as a whole."""

    def one(tensor: Tensor) -> Tensor:
        wanted = torch.float32 if tensor.is_floating_point() else tensor.dtype
        return tensor.to(wanted, memory_format=torch.contiguous_format).contiguous()

    return batches.mapped(one, predictions)
