"""The T losses of a pass: of the global batch where there are several ranks, and scaled for fp16 on their way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from palora_core import distributed
from palora_core.batches import Batch
from palora_core.errors import UserError
from palora_core.objectives import Objective, combine
from palora_core.sources import Portion

Portions = Sequence[Portion]


def objective_losses(
    objectives: Sequence[Objective], outputs: Sequence[Any], portions: Portions, joined: bool = True
) -> list[Tensor]:
    """The T losses, each with a graph of its own; on several ranks those of the global batch where ``joined``.

    Args:
        objectives: in the order of λ.
        outputs: the network's, for each portion.
        portions: the batches they belong to; an objective is measured on those that feed it.
        joined: whether ranks hold parts of one batch.
    """
    fed = [
        [(found, portion.batch) for found, portion in zip(outputs, portions) if t in portion.objectives]
        for t in range(len(objectives))
    ]
    if not joined or distributed.world_size() == 1:
        losses = [combine(one, parts) for one, parts in zip(objectives, fed)]
    else:
        losses = distributed.join_losses(*zip(*(_sum_terms(one, parts) for one, parts in zip(objectives, fed))))
    constant = [one.name for one, loss in zip(objectives, losses) if not loss.requires_grad]
    if constant and torch.is_grad_enabled():
        raise UserError(
            f"The objective {constant[0]!r} does not depend on the network (its value has no gradient); compute it "
            "from the outputs, without detach() or argmax()."
        )
    return losses


class _Scaled(torch.autograd.Function):
    """A loss as it is, whose gradient is multiplied by a number on the way back."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (scale,) = ctx.saved_tensors
        return gradients[0] * scale, None


def scaled(losses: list[Tensor], scale: Tensor | None) -> list[Tensor]:
    """The same losses; everything behind them gets ``scale`` times its gradient, so that fp16 has numbers for it."""
    return losses if scale is None else [_Scaled.apply(loss, scale) for loss in losses]


def _sum_terms(objective: Objective, parts: Sequence[tuple[Any, Batch]]) -> tuple[Tensor, Tensor]:
    terms = [objective.terms(*part) for part in parts]
    return torch.stack([total for total, _ in terms]).sum(), torch.stack([number for _, number in terms]).sum()
