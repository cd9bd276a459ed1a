"""The second engine: all M preferences of a step in one pass over stacked weights, for small networks on a GPU.

Merged weights [M, …] and BatchNorm buffers [M, C] go through ``torch.func.vmap``, which turns layers into grouped
convolutions and batched products; every preference keeps normalisation statistics of its own. The result is that of
:class:`palora_core.training.engine.Sequential`. On a CPU this is slower (grouped kernels, M times the memory). On a GPU
a LeNet step is all launches, and one pass has M times fewer; nothing here waits for the device, so that a step can be
captured in a CUDA graph.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from palora_core import distributed
from palora_core.balancing.base import Balancer, Step
from palora_core.balancing.linear import Linear
from palora_core.batches import Batch
from palora_core.conditioning.base import ParetoModel, Pass
from palora_core.conditioning.lowrank import LowRankModel
from palora_core.machine import autocast
from palora_core.normalisation import batch_norms
from palora_core.objectives import Objective
from palora_core.training.engine import Engine, HeldOut
from palora_core.training.losses import Portions, scaled

SMALL = 2_000_000  # parameters; a larger network fills a GPU with one preference


def obstacle(model: ParetoModel, balancer: Balancer, sources: int = 1) -> str | None:
    """Why the stacked engine cannot run this combination; None if it can."""
    if not isinstance(model, LowRankModel) or type(model)._passes is not LowRankModel._passes:
        return "it stacks merged low-rank weights, which this conditioning does not have"
    if model.offsets():
        return "it stacks weights of layers, and here biases or scales depend on λ, too"
    if type(balancer).backward is not Linear.backward:
        return "it knows the balancer linear only; others look at one preference at a time"
    if sources > 1:
        return "it makes one pass a step, and these data come from several sources"
    if any(layer.momentum is None for layer in batch_norms(model.network)):
        return "a BatchNorm with a cumulative average needs its passes one after another"
    return None


class Stacked(Engine):
    """All M preferences at once."""

    model: LowRankModel

    def __call__(
        self,
        portions: Portions,
        preferences: Tensor,
        held_out: HeldOut | None = None,
        lr: float = 0.0,
        scale: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Step]:
        """As :class:`palora_core.training.engine.Sequential`, for Σ_m λ_mᵀL(λ_m) only (see :func:`obstacle`)."""
        (portion,) = portions
        batch, model = portion.batch, self.model
        layers, norms = model.layers, batch_norms(model.network)
        preferences = preferences.to(next(model.parameters()))
        merges = [merged(layer, preferences) for layer in layers]
        names = {id(module): name for name, module in model.network.named_modules()}
        buffers = {f"{names[id(norm)]}.{key}": _copies(norm, key, len(preferences)) for norm in norms for key in _KEPT}

        def one(preference: Tensor, own: list[Tensor], statistics: dict[str, Tensor]) -> Any:
            tensors = {(id(layer), "weight"): weight for layer, weight in zip(layers, own)}
            with model.active.use(preference, tensors):
                return self.caller(lambda *a, **k: functional_call(model.network, statistics, a, k), batch[0])

        with autocast(self.device, self.dtype):
            outputs = vmap(one, randomness="different")(preferences, merges, buffers)
        losses = torch.stack([_losses(one, outputs, batch) for one in self.objectives], 1)
        losses = losses if weights is None else losses * weights.to(losses)
        scaled([(preferences.to(losses) * losses).sum()], scale)[0].backward()
        extra = model.regulariser()
        if extra is not None:
            scaled([extra], scale)[0].backward()
        if model.training:
            _update(norms, names, buffers)
        last = Pass(preferences[-1], partial(model, preference=preferences[-1]), [], [[] for _ in self.objectives])
        return losses.detach(), Step(list(losses[-1].detach()), last, model, None, None, lr)


_KEPT = ("running_mean", "running_var", "num_batches_tracked")


def merged(layer: Any, preferences: Tensor) -> Tensor:
    """W + Σ_t λ_mt Δ_t for all m, `[M, *W.shape]`; autograd takes the sums' gradients to W, A and B once."""
    base, deltas = layer.base_weight, layer.deltas()
    return base + (preferences @ deltas.flatten(1)).view(-1, *base.shape)


def _copies(norm: nn.Module, key: str, count: int) -> Tensor:
    buffer = norm._buffers[key]
    assert buffer is not None  # batch_norms() keeps only layers with statistics
    return buffer.expand(count, *buffer.shape).clone()


def _losses(objective: Objective, outputs: Any, batch: Batch) -> Tensor:
    """Losses [M] from outputs [M, B, …]; on several ranks those of the global batch."""
    totals, counts = vmap(lambda one: objective.terms(one, batch))(outputs)
    if distributed.world_size() > 1:
        return torch.stack(distributed.join_losses(list(totals), list(counts)))
    return totals / counts.clamp(min=1)


@torch.no_grad()
def _update(norms: list[nn.Module], names: dict[int, str], buffers: dict[str, Tensor]) -> None:
    """Running statistics as M passes in a row leave them.

    Every copy holds r_m = (1 − μ) r + μ s_m; in a row, M of them make (1 − μ)^M r + Σ_m (1 − μ)^(M − 1 − m) μ s_m.
    """
    for norm in norms:
        keep = 1 - float(norm.momentum)  # type: ignore[arg-type]
        for key in _KEPT[:2]:
            before, after = norm._buffers[key], buffers[f"{names[id(norm)]}.{key}"]
            assert before is not None
            result = before.clone()
            for copy in after:
                result = keep * result + (copy - keep * before)
            before.copy_(result)
        norm._buffers["num_batches_tracked"].add_(len(after))  # type: ignore[union-attr]
