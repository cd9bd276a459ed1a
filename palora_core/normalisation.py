"""BatchNorm statistics as a function of λ: kept at the corners and the centre of the simplex, interpolated between.

Running averages taken while training mix the activations of every preference of every step. On a small SegNet they
made the depth loss at the depth corner nine times larger than statistics that belong to that corner. So statistics are
estimated at T + 1 anchor preferences (forward passes only) and interpolated for every other λ.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from palora_core.active import ActivePreference

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def anchor_preferences(num_tasks: int) -> Tensor:
    """The anchors [T + 1, T]: the T corners of the simplex, then its centre."""
    return torch.cat([torch.eye(num_tasks), torch.full((1, num_tasks), 1 / num_tasks)])


def anchor_weights(preference: Tensor) -> Tensor:
    """Weights [T + 1] of the anchors for λ [T]: piecewise linear on the simplex cut into T parts at its centre.

    The centre weighs T·min λ and corner t weighs λ_t − min λ. A pseudo-preference uses the statistics of the nearest
    mixture: negative entries count as zero, the rest is scaled to sum 1, and nothing left means the centre.
    """
    positive = preference.clamp_min(0)
    total = positive.sum()
    centre = torch.full_like(preference, 1 / len(preference))
    inside = torch.where(total > 0, positive / total.clamp_min(torch.finfo(preference.dtype).tiny), centre)
    lowest = inside.min()
    return torch.cat([inside - lowest, (lowest * len(preference)).reshape(1)])


def anchor_weights_of(preference: Sequence[float]) -> list[float]:
    """:func:`anchor_weights` in plain numbers: a dozen tensor operations on T numbers take as long as a small layer."""
    positive = [max(weight, 0.0) for weight in preference]
    total = sum(positive)
    inside = [weight / total for weight in positive] if total > 0 else [1 / len(positive)] * len(positive)
    lowest = min(inside)
    return [*(weight - lowest for weight in inside), lowest * len(inside)]


class AnchoredBatchNorm(nn.Module):
    """Mixin for a BatchNorm layer whose evaluation statistics are those of the active preference.

    Buffers ``anchor_mean`` and ``anchor_var`` [T + 1, C] are added; names of the plain layer stay. In training mode, or
    with no active preference, the layer is an ordinary BatchNorm.
    """

    anchor_mean: Tensor
    anchor_var: Tensor
    active: ActivePreference

    def _at(self, anchors: Tensor, plain: str) -> Tensor | None:
        preference = self.active.preference
        if self.training or preference is None:
            return self._buffers[plain]
        return anchor_weights(preference).to(anchors) @ anchors

    @property
    def running_mean(self) -> Tensor | None:
        """Mean [C] at the active preference."""
        return self._at(self.anchor_mean, "running_mean")

    @property
    def running_var(self) -> Tensor | None:
        """Variance [C] at the active preference."""
        return self._at(self.anchor_var, "running_var")

    def plain_(self, preference: Tensor | None) -> None:
        """Turn this layer back, in place, into a plain BatchNorm with the statistics of ``preference``."""
        if preference is not None:
            weights = anchor_weights(preference).to(self.anchor_mean)
            self._buffers["running_mean"] = weights @ self.anchor_mean
            self._buffers["running_var"] = weights @ self.anchor_var
        self.__class__ = type(self)._plain_class  # type: ignore[attr-defined]
        del self.anchor_mean, self.anchor_var, self.active

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _empty_layer, (type(self)._plain_class,), self.__dict__.copy()  # type: ignore[attr-defined]


@functools.cache
def _anchored_class(plain: type[nn.Module]) -> type[AnchoredBatchNorm]:
    members = {"_plain_class": plain, "__doc__": plain.__doc__}
    return type(f"Anchored{plain.__name__}", (AnchoredBatchNorm, plain), members)


def _empty_layer(plain: type[nn.Module]) -> AnchoredBatchNorm:
    return object.__new__(_anchored_class(plain))


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """The BatchNorm layers of ``network`` that keep statistics."""
    layers = [layer for layer in network.modules() if isinstance(layer, BATCH_NORMS)]
    return [layer for layer in layers if layer.track_running_stats and layer._buffers["running_mean"] is not None]


def is_anchored(network: nn.Module) -> bool:
    """Whether the network's BatchNorm layers hold statistics per preference."""
    return any(isinstance(layer, AnchoredBatchNorm) for layer in network.modules())


def anchor_batch_norms(network: nn.Module, num_tasks: int, active: ActivePreference) -> list[AnchoredBatchNorm]:
    """Give every BatchNorm layer of ``network`` anchor statistics, in place, all equal to its running ones."""
    layers = batch_norms(network)
    for layer in layers:
        if isinstance(layer, AnchoredBatchNorm):
            continue
        mean, variance = layer._buffers["running_mean"], layer._buffers["running_var"]
        assert mean is not None  # batch_norms() keeps only layers with statistics
        assert variance is not None
        layer.__class__ = _anchored_class(type(layer))
        layer.register_buffer("anchor_mean", mean.repeat(num_tasks + 1, 1))
        layer.register_buffer("anchor_var", variance.repeat(num_tasks + 1, 1))
        layer.active = active
    return layers  # type: ignore[return-value]


@torch.no_grad()
def calibrate(model: nn.Module, batches: Callable[[], Iterable[Tensor]]) -> int:
    """Estimate every BatchNorm layer's statistics at the anchors of a ``ParetoModel``; forward passes only.

    Args:
        model: a ``ParetoModel``; its BatchNorm layers become :class:`AnchoredBatchNorm`.
        batches: gives a fresh iterable of input batches; the same ones are used for every anchor.

    Returns:
        How many layers were calibrated (0 for a network without BatchNorm, where nothing is run).
    """
    return _calibrate(model, list(enumerate(anchor_preferences(model.num_tasks))), batches)


def calibrate_for(model: nn.Module, preference: Tensor, batches: Callable[[], Iterable[Tensor]]) -> int:
    """Estimate the statistics of one λ [T] and use them for all: what interpolation between the anchors approximates.

    For studies; a model calibrated this way is right at ``preference`` only. Arguments and result as :func:`calibrate`.
    """
    return _calibrate(model, [(slice(None), preference)], batches)


def use_running(model: nn.Module) -> None:
    """Turn all layers, in place, back to plain BatchNorms with the running averages of training."""
    for layer in batch_norms(model.network):
        if isinstance(layer, AnchoredBatchNorm):
            layer.plain_(None)


def _calibrate(model: nn.Module, anchors: list[tuple[Any, Tensor]], batches: Callable[[], Iterable[Tensor]]) -> int:
    if not batch_norms(model.network):
        return 0
    layers = anchor_batch_norms(model.network, model.num_tasks, model.active)
    saved = [_training_state(layer) for layer in layers]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # dropout off; only the layers being measured are in training mode
    for layer in layers:
        layer.train()
    try:
        for index, anchor in anchors:
            _measure(model, layers, anchor, index, batches())
    finally:
        for layer, state in zip(layers, saved):
            _restore(layer, state)
        for module, training in modes:
            module.training = training
    return len(layers)


def _measure(model: nn.Module, layers: list[AnchoredBatchNorm], anchor: Tensor, index: Any, batches: Any) -> None:
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative average: every batch counts the same
    for inputs in batches:
        model(inputs, anchor.to(inputs.device))
    for layer in layers:
        layer.anchor_mean[index] = layer._buffers["running_mean"]
        layer.anchor_var[index] = layer._buffers["running_var"]


def _training_state(layer: AnchoredBatchNorm) -> tuple[Any, ...]:
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    return layer.momentum, {name: layer._buffers[name].clone() for name in buffers}  # type: ignore[union-attr]


def _restore(layer: AnchoredBatchNorm, state: tuple[Any, ...]) -> None:
    layer.momentum = state[0]
    for name, value in state[1].items():
        layer._buffers[name].copy_(value)  # type: ignore[union-attr]
