"""From factors and offsets per task to the model that mixes them by λ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from palora_core.adapters.offsets import offsets_of
from palora_core.conditioning.lowrank import LowRankModel, with_described_adapters
from palora_core.errors import UserError
from palora_core.merging.factors import Factors
from palora_core.merging.places import Place, places_of

PerTask = Sequence[Factors | None]  # None: nothing is added


def assembled(
    network: nn.Module,
    num_tasks: int,
    factors: Mapping[str, PerTask],
    offsets: Mapping[str, Tensor],
    scale: float = 1.0,
) -> LowRankModel:
    """W(λ) = W + scale · Σ_t λ_t B_t A_t and p(λ) = p + scale · Σ_t λ_t δ_t, in evaluation mode.

    Args:
        network: the base (not copied).
        num_tasks: T.
        factors: weight's name → its factors per task; every layer has the largest of its tasks' ranks.
        offsets: parameter's name → δ [T, *shape].
        scale: the size of all steps away from the base.

    Raises:
        UserError: nothing is to be added, or a layer cannot have adapters.
    """
    places = places_of(network)
    ranks = {name: max(one.rank for one in tasks if one is not None) for name, tasks in factors.items()}
    if not ranks:
        raise UserError("The weights of all of them are the same, so there is nothing that λ could mix.")
    layers = {
        str(place.layer): {"rank": rank, "alpha": rank * scale, "form": "kernel"}
        for known, rank in ranks.items()
        for place in _tied(places, known)
    }
    described = {"tasks": num_tasks, "layers": layers, "offsets": list(offsets)}
    with torch.random.fork_rng(devices=[]):  # adapters are drawn, then replaced
        model = with_described_adapters(network, described)
    names = {layer: name for name, layer in model.network.named_modules()}
    with torch.no_grad():
        for parameter in model.adapter_parameters():
            parameter.zero_()
        for layer in model.layers:
            name = layer.weight_name(names[layer])
            if name in factors:  # else it is tied to one that is, or does not differ
                _fill(layer.adapter_a, layer.adapter_b, factors[name])
        for name, offset in offsets_of(model.network).items():
            offset.deltas.copy_(scale * offsets[name])
    return model.eval()


def _tied(places: Mapping[str, Place], name: str) -> list[Place]:
    """All places of one weight."""
    own = places[name].parameter
    return [place for place in places.values() if place.parameter is own]


def _fill(down: Tensor, up: Tensor, tasks: PerTask) -> None:
    """Copy the factors of all tasks into A [T, r, columns] and B [T, rows, r]; what is left of r stays zero."""
    for task, one in enumerate(tasks):
        if one is not None:
            down[task, : one.rank].copy_(one.down)
            up[task, :, : one.rank].copy_(one.up)
