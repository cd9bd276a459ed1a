"""BatchNorm statistics of a merged model: those of a mixture of weights are no mixture of statistics.

At its corner a checkpoint has the statistics it was trained with. In between, the variance of mixed features is mostly
smaller than the mixture of variances (Jordan et al.: REPAIR, ICLR 2023), so they are measured on batches where there
are any, and mixed otherwise, which is said.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from palora_core.conditioning.lowrank import LowRankModel
from palora_core.errors import UserError
from palora_core.merging.states import State
from palora_core.normalisation import anchor_batch_norms, batch_norms, calibrate

KEYS = ("running_mean", "running_var")


def set_statistics(model: LowRankModel, states: Sequence[State], batches: Iterable[Any] | None, scale: float) -> str:
    """Give BatchNorm layers the statistics of λ; what was done, see :class:`palora_core.merging.report.MergeReport`.

    Args:
        model: with adapters and offsets in place.
        states: of the T checkpoints.
        batches: inputs to measure on; read several times.
        scale: with another than 1 the corners are no checkpoints, and have no statistics.

    Raises:
        UserError: they are needed and cannot be right.
    """
    layers = batch_norms(model.network)
    names = {module: name for name, module in model.network.named_modules()}
    paths = [names[layer] for layer in layers]
    if batches is not None:
        if not layers:
            return "none"
        kept = list(batches)
        calibrate(model, lambda: kept)
        return "measured"
    moved = [
        path
        for layer, path in zip(layers, paths)
        for key in KEYS
        if not all(_equal(state[f"{path}.{key}"], layer._buffers[key]) for state in states)
    ]
    if not moved:
        return "none"
    if scale != 1:
        raise UserError(
            f"{moved[0]!r} is a BatchNorm whose statistics belong to the checkpoints, and with scale={scale:g} no λ is "
            "one of them; give batches= (inputs, without labels) to measure statistics on."
        )
    for layer, path in zip(anchor_batch_norms(model.network, model.num_tasks, model.active), paths):
        for buffer, key in zip((layer.anchor_mean, layer.anchor_var), KEYS):
            corners = torch.stack([state[f"{path}.{key}"].to(buffer) for state in states])
            buffer.copy_(torch.cat([corners, corners.mean(0, keepdim=True)]))
    warnings.warn(
        f"{len(paths)} BatchNorm layers have statistics of their own in each checkpoint: right at the corners, mixed "
        "by λ in between, where they are only near. Give batches= (inputs, without labels) to measure them.",
        stacklevel=3,
    )
    return "mixed"


def _equal(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(one.to(other.device), other)
