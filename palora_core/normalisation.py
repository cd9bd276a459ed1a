"""BatchNorm statistics as a function of λ: kept at the corners and the centre of the simplex, interpolated between.

Running averages taken while training mix the activations of every preference of every step. On a small SegNet they
made the depth loss at the depth corner nine times larger than statistics that belong to that corner. So statistics are
estimated at T + 1 anchor preferences (forward passes only) and interpolated for every other λ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.active import ActivePreference
from palora_core.batches import Caller
from palora_core.errors import UserError
from palora_core.swapping import SwappedLayer, swap

if TYPE_CHECKING:
    from palora_core.conditioning.base import ParetoModel

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class FixedBatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm that applies the statistics it was loaded with, in training, too; γ and β are trained.

    What it computes depends on neither the batch nor λ, so there is nothing to estimate, average or calibrate: items of
    two sources in one batch (synthetic and real ones) do not see each other, and small batches are no noise.
    """

    def forward(self, x: Tensor) -> Tensor:
        """As a BatchNorm's in evaluation."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def anchor_preferences(num_tasks: int) -> Tensor:
    """The anchors [T + 1, T]: the T corners of the simplex, then its centre."""
    return torch.cat([torch.eye(num_tasks), torch.full((1, num_tasks), 1 / num_tasks)])


def anchor_weights(preference: Tensor) -> Tensor:
    """Weights [..., T + 1] of the anchors for λ [..., T]: piecewise linear on the simplex, cut into T at its centre.

    The centre weighs T·min λ and corner t weighs λ_t − min λ. A pseudo-preference uses the statistics of the nearest
    mixture: negative entries count as zero, the rest is scaled to sum 1, and nothing left means the centre.
    """
    positive = preference.clamp_min(0)
    total = positive.sum(-1, keepdim=True)
    count = preference.shape[-1]
    centre = torch.full_like(preference, 1 / count)
    inside = torch.where(total > 0, positive / total.clamp_min(torch.finfo(preference.dtype).tiny), centre)
    lowest = inside.amin(-1, keepdim=True)
    return torch.cat([inside - lowest, lowest * count], -1)


def anchor_weights_of(preference: Sequence[float]) -> list[float]:
    """:func:`anchor_weights` in plain numbers: a dozen tensor operations on T numbers take as long as a small layer."""
    positive = [max(weight, 0.0) for weight in preference]
    total = sum(positive)
    inside = [weight / total for weight in positive] if total > 0 else [1 / len(positive)] * len(positive)
    lowest = min(inside)
    return [*(weight - lowest for weight in inside), lowest * len(inside)]


class AnchoredBatchNorm(SwappedLayer):
    """Mixin for a BatchNorm layer whose evaluation statistics are those of the active preference.

    Buffers ``anchor_mean`` and ``anchor_var`` [T + 1, C] are added; names of the plain layer stay. In training mode, or
    with no active preference, the layer is an ordinary BatchNorm.
    """

    prefix: ClassVar[str] = "Anchored"

    anchor_mean: Tensor
    anchor_var: Tensor
    anchored_to: ActivePreference  # a name of its own: the layer below may have a cell already
    momentum: float | None  # this one and those below are the plain layer's
    eps: float
    weight: Tensor | None
    bias: Tensor
    reset_running_stats: Callable[[], None]

    def _at(self, anchors: Tensor, plain: str) -> Tensor | None:
        preference = None if self.training else self.anchored_to.preference
        if preference is None:
            return self._buffers[plain]
        return anchor_weights(preference).to(anchors) @ anchors

    @property
    def running_mean(self) -> Tensor | None:
        """Mean [C], or [B, C], at the active preference."""
        return self._at(self.anchor_mean, "running_mean")

    @property
    def running_var(self) -> Tensor | None:
        """Variance [C], or [B, C], at the active preference."""
        return self._at(self.anchor_var, "running_var")

    def forward(self, x: Tensor) -> Tensor:
        """The plain layer's forward, also where somebody differentiates by λ (torch does not, by statistics).

        Raises:
            UserError: λ is one per sample, and ``x`` has not as many.
        """
        preference = None if self.training else self.anchored_to.preference
        if preference is None or not (preference.requires_grad or preference.dim() > 1):
            return super().forward(x)
        if preference.dim() > 1 and len(preference) != len(x):
            raise UserError(
                f"The preference has {len(preference)} rows, one per sample, but a BatchNorm reads an input of shape "
                f"{list(x.shape)}; give one λ for all samples."
            )
        shape = (len(preference) if preference.dim() > 1 else 1, -1, *[1] * (x.dim() - 2))
        mean, variance = (t.view(shape) for t in (self.running_mean, self.running_var) if t is not None)
        y = (x - mean) * (variance + self.eps).rsqrt()
        shared = (1, *shape[1:])
        return y if self.weight is None else y * self.weight.view(shared) + self.bias.view(shared)

    def plain_(self, preference: Tensor | None) -> None:
        """Turn this layer back, in place, into a plain BatchNorm with the statistics of ``preference``."""
        if preference is not None:
            weights = anchor_weights(preference).to(self.anchor_mean)
            self._buffers["running_mean"] = weights @ self.anchor_mean
            self._buffers["running_var"] = weights @ self.anchor_var
        self.unswap_()
        del self.anchor_mean, self.anchor_var, self.anchored_to


class AnchoredSyncBatchNorm(AnchoredBatchNorm):
    """The same for SyncBatchNorm, which refuses to train on a CPU: there it takes the statistics of its own rank."""

    def forward(self, x: Tensor) -> Tensor:
        """The plain layer's forward."""
        if self.training and x.device.type == "cpu":
            return nn.BatchNorm1d.forward(self, x)  # type: ignore[arg-type]  # all of them share it
        return super().forward(x)


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """The BatchNorm layers of ``network`` that estimate statistics."""
    return [layer for layer in norms_with_statistics(network) if not isinstance(layer, FixedBatchNorm2d)]


def norms_with_statistics(network: nn.Module) -> list[nn.Module]:
    """The BatchNorm layers of ``network`` that have statistics, estimated or fixed."""
    layers = [layer for layer in network.modules() if isinstance(layer, BATCH_NORMS)]
    return [layer for layer in layers if layer.track_running_stats and layer._buffers["running_mean"] is not None]


def anchor_batch_norms(network: nn.Module, num_tasks: int, active: ActivePreference) -> list[AnchoredBatchNorm]:
    """Give every BatchNorm layer of ``network`` anchor statistics, in place, all equal to its running ones."""
    return [
        layer if isinstance(layer, AnchoredBatchNorm) else _anchor(layer, num_tasks, active)
        for layer in batch_norms(network)
    ]


def match_statistics(model: ParetoModel, state: Mapping[str, Any], prefix: str = "") -> None:
    """Make BatchNorm layers keep statistics per preference, or one set only, as the layers of ``state`` do.

    Args:
        model: a ``ParetoModel``; its layers are changed in place.
        state: a state_dict; layers that it does not hold are left alone.
        prefix: what the names of the model's own tensors begin with.
    """
    with_statistics = set(batch_norms(model.network))
    for name, layer in list(model.network.named_modules(remove_duplicate=False)):
        path = f"{prefix}network.{name}".rstrip(".")
        if f"{path}.anchor_mean" in state:
            if layer in with_statistics and not isinstance(layer, AnchoredBatchNorm):
                _anchor(layer, model.num_tasks, model.active)
        elif f"{path}.running_mean" in state and isinstance(layer, AnchoredBatchNorm):
            layer.plain_(None)


def _anchor(plain: nn.Module, num_tasks: int, active: ActivePreference) -> AnchoredBatchNorm:
    layer = swap(plain, AnchoredSyncBatchNorm if isinstance(plain, nn.SyncBatchNorm) else AnchoredBatchNorm)
    mean, variance = _running(layer)
    layer.register_buffer("anchor_mean", mean.repeat(num_tasks + 1, 1))
    layer.register_buffer("anchor_var", variance.repeat(num_tasks + 1, 1))
    layer.anchored_to = active
    return layer


def _running(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """The running mean and variance [C] of training."""
    mean, variance = layer._buffers["running_mean"], layer._buffers["running_var"]
    assert mean is not None  # batch_norms() keeps only layers with statistics
    assert variance is not None
    return mean, variance


@torch.no_grad()
def calibrate(model: ParetoModel, batches: Callable[[], Iterable[Any]], caller: Caller | None = None) -> int:
    """Estimate every BatchNorm layer's statistics at the anchors of a ``ParetoModel``; forward passes only.

    Args:
        model: a ``ParetoModel``; its BatchNorm layers become :class:`AnchoredBatchNorm`.
        batches: gives a fresh iterable of input batches; the same ones are used for every anchor.
        caller: how inputs become arguments; by default as the network's ``forward`` asks.

    Returns:
        How many layers were calibrated (0 for a network without BatchNorm, where nothing is run).

    Raises:
        UserError: there is no batch, so nothing to estimate from.
    """
    return _calibrate(model, list(enumerate(anchor_preferences(model.num_tasks))), batches, caller)


def calibrate_for(model: ParetoModel, preference: Tensor, batches: Callable[[], Iterable[Any]]) -> int:
    """Estimate the statistics of one λ [T] and use them for all: what interpolation between the anchors approximates.

    For studies; a model calibrated this way is right at ``preference`` only. Arguments and result as :func:`calibrate`.
    """
    return _calibrate(model, [(slice(None), preference)], batches)


def use_running(model: ParetoModel) -> None:
    """Turn all layers, in place, back to plain BatchNorms with the running averages of training."""
    for layer in batch_norms(model.network):
        if isinstance(layer, AnchoredBatchNorm):
            layer.plain_(None)


def _calibrate(
    model: ParetoModel,
    anchors: list[tuple[Any, Tensor]],
    batches: Callable[[], Iterable[Any]],
    caller: Caller | None = None,
) -> int:
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
            _measure(model, layers, anchor, index, batches(), caller or Caller(model.network))
    finally:
        for layer, state in zip(layers, saved):
            _restore(layer, state)
        for module, training in modes:
            module.training = training
    return len(layers)


def _measure(
    model: ParetoModel, layers: list[AnchoredBatchNorm], anchor: Tensor, index: Any, batches: Any, caller: Caller
) -> None:
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative average: every batch counts the same
    inputs = None
    for inputs in batches:
        caller.at(model, inputs, anchor)
    if inputs is None:
        raise UserError("There is no batch to estimate the statistics of BatchNorm layers from; give at least one.")
    for layer in layers:
        layer.anchor_mean[index], layer.anchor_var[index] = _running(layer)


def _training_state(layer: AnchoredBatchNorm) -> tuple[Any, ...]:
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    return layer.momentum, {name: layer._buffers[name].clone() for name in buffers}  # type: ignore[union-attr]


def _restore(layer: AnchoredBatchNorm, state: tuple[Any, ...]) -> None:
    layer.momentum = state[0]
    for name, value in state[1].items():
        layer._buffers[name].copy_(value)  # type: ignore[union-attr]
