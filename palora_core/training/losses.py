"""The T losses of a pass: of the global batch where there are several ranks, and scaled for fp16 on their way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from palora_core import distributed
from palora_core.batches import Batch
from palora_core.errors import UserError
from palora_core.objectives import Objective, combine, sum_dtype, terms_of
from palora_core.sources import Portion

Portions = Sequence[Portion]


def objective_losses(
    objectives: Sequence[Objective],
    outputs: Sequence[Any],
    portions: Portions,
    joined: bool = True,
    weights: Tensor | None = None,
) -> list[Tensor]:
    """The T losses, each with a graph of its own; on several ranks those of the global batch where ``joined``.

    Args:
        objectives: in the order of λ.
        outputs: the network's, for each portion.
        portions: the batches they belong to; an objective is measured on those that feed it, and is NaN without any.
        joined: whether ranks hold parts of one batch.
        weights: what the batch weighs per objective [T] among those of its step, see :func:`batch_weights`.
    """
    fed = {
        t: [(found, portion.batch) for found, portion in zip(outputs, portions) if t in portion.objectives]
        for t in range(len(objectives))
    }
    fed = {t: parts for t, parts in fed.items() if parts}
    if not joined or distributed.world_size() == 1:
        found = [combine(objectives[t], parts) for t, parts in fed.items()]
    else:
        found = distributed.join_losses(*zip(*(_sum_terms(objectives[t], parts) for t, parts in fed.items())))
    constant = [objectives[t].name for t, loss in zip(fed, found) if not loss.requires_grad]
    if constant and torch.is_grad_enabled():
        raise UserError(
            f"The objective {constant[0]!r} does not depend on the network (its value has no gradient); compute it "
            "from the outputs, without detach() or argmax()."
        )
    if weights is not None:
        found = [loss * weight for loss, weight in zip(found, weights.to(found[0])[list(fed)])]
    by_place = dict(zip(fed, found))
    unknown = found[0].detach().new_full((), torch.nan)
    return [by_place.get(t, unknown) for t in range(len(objectives))]


def batch_weights(objectives: Sequence[Objective], batches: Sequence[Portions]) -> list[Tensor | None]:
    """What each of G accumulated batches weighs per objective [T]: its items over the mean of all batches.

    The mean over batches of weighted means is the mean over all items with a valid target, however these are spread
    over batches and ranks.

    Raises:
        UserError: a task that does not tell from its target alone how many elements are valid.
    """
    if len(batches) == 1:
        return [None]
    counts = torch.stack(
        [torch.stack([_count(objectives, t, parts) for t in range(len(objectives))]) for parts in batches]
    )
    counts = counts.to(sum_dtype(counts))
    distributed.average_([counts])
    mean = counts.mean(0)
    return list(torch.where(mean > 0, counts / mean, 1.0))


def _count(objectives: Sequence[Objective], t: int, portions: Portions) -> Tensor:
    one = objectives[t]
    try:
        found = [one.count(portion.batch) for portion in portions if t in portion.objectives]
    except NotImplementedError:
        raise UserError(
            f"accumulate averages over items, and the task {one.name!r} ({one.kind}) does not say how many of a target "
            "are valid; define its _count(target), or constant_answer(target)."
        ) from None
    return torch.stack(found).sum()


def weighed(portions: Portions, preference: Tensor) -> Portions:
    """The portions that feed an objective with a weight at λ [T]; all of them where none has one."""
    if len(portions) == 1:
        return portions
    weights = preference.tolist()
    return [portion for portion in portions if any(weights[t] for t in portion.objectives)] or portions


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
    terms = terms_of(objective, parts)
    return torch.stack([total for total, _ in terms]).sum(), torch.stack([number for _, number in terms]).sum()
