"""``pc.from_loras(base, [folder_a, folder_b])``: PEFT's LoRA adapters of one base as one model that λ steers."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from palora_core.adapters.hosted import HOSTS
from palora_core.conditioning.base import ParetoModel
from palora_core.conditioning.lowrank import LowRankModel
from palora_core.errors import UserError, quoted
from palora_core.merging.assembly import PerTask, assembled
from palora_core.merging.checkpoints import MOST
from palora_core.merging.factors import Factors, exact_factors
from palora_core.merging.peft_folders import LoRA, read_lora
from palora_core.merging.places import Place, places_of
from palora_core.merging.report import MergedLayer, MergeReport


def from_loras(
    base: nn.Module, adapters: Sequence[Path | str], scale: float = 1.0, freeze_base: bool = True
) -> LowRankModel:
    """W(λ) = W₀ + scale · Σ_t λ_t s_t B_t A_t, exactly: at corner t the base with adapter t.

    Ranks, α, rank-stabilised scales, patterns and adapted layers may differ between the adapters. Modules and biases
    that were trained as a whole are mixed, too. This is PEFT's ``add_weighted_adapter(…, combination_type="cat")`` for
    every λ at once; its ``"linear"`` multiplies sums of factors and so has products across adapters in it.

    Args:
        base: the network that the adapters were trained on (copied).
        adapters: T folders with ``adapter_config.json`` and ``adapter_model.safetensors``.
        scale: how far λ_t = 1 goes from the base.
        freeze_base: should the model be trained on, then only its adapters.

    Raises:
        UserError: no adapter folders, adapters of another network, or of a variant that is no sum on the weights.
    """
    if isinstance(base, ParetoModel) or not isinstance(base, nn.Module):
        raise UserError(f"base is a {type(base).__name__}; expected the plain network that the adapters belong to.")
    if isinstance(adapters, str | Path) or not 1 <= len(adapters) <= MOST:
        raise UserError(f"adapters must be a list of 1 to {MOST} folders.")
    if not math.isfinite(scale):
        raise UserError(f"scale must be a finite number, found {scale!r}.")
    read = [read_lora(Path(folder)) for folder in adapters]
    network = copy.deepcopy(base)
    places = places_of(network)
    per_adapter = [_named_factors(lora, places) for lora in read]
    factors: dict[str, PerTask] = {
        name: [own.get(name) for own in per_adapter] for name in places if any(name in own for own in per_adapter)
    }
    offsets = _offsets(read, places)
    model = assembled(network, len(read), factors, offsets, scale)
    model.report = MergeReport({n: _told(tasks) for n, tasks in factors.items()}, tuple(offsets))
    if freeze_base:
        model.train_adapters_only()
    return model


def _named_factors(lora: LoRA, places: Mapping[str, Place]) -> dict[str, Factors]:
    """The weights that an adapter changes, by their names in the base, and by which matrices."""
    found = {}
    for layer, tensors in lora.factors.items():
        name = f"{layer}.weight"
        place = places.get(name)
        if place is None or place.layer is None or isinstance(place.module, HOSTS):
            kind = "no such layer" if place is None else f"a {type(place.module).__name__} there"
            raise UserError(
                f"{lora.name} adapts {quoted(layer)}, and the base has {kind}; give the base it belongs to."
            )
        found[name] = _factors(tensors, lora.scales[layer], place, f"{lora.name} at {quoted(layer)}")
    for name, tensor in lora.whole.items():
        place = _whole(lora, name, tensor, places)
        difference = (tensor.double() - place.parameter.detach().double().cpu()).to(place.parameter.dtype)
        if place.layer is not None and difference.any():
            if name in found:
                raise UserError(f"{lora.name} holds {quoted(name)} as a whole and adapts it as well; save it anew.")
            found[name] = exact_factors(difference.reshape(len(difference), -1))
    return found


def _factors(tensors: Mapping[str, Tensor], scale: float, place: Place, where: str) -> Factors:
    """An adapter's matrices as those of the weight in the form that its layer stores: conv kernels flat, Conv1D and
    embeddings the other way round.
    """
    module, own = place.module, place.parameter
    if getattr(module, "groups", 1) != 1:
        raise UserError(f"{where} adapts a convolution of {module.groups} groups, which PEFT cannot merge either.")
    embedding = "embedding_down" in tensors
    down, up = (tensors[f"embedding_{key}" if embedding else key].double() for key in ("down", "up"))
    down, up = down.flatten(1), scale * up.flatten(1)
    if embedding or type(module).__name__ == "Conv1D":
        down, up = up.t(), down.t()
    shape = getattr(module, "out_features", len(own)), getattr(module, "in_features", own[:1].numel())
    if embedding != isinstance(module, nn.Embedding) or (len(up), down.shape[1]) != shape:
        raise UserError(
            f"{where} has matrices for a weight of {len(up)} × {down.shape[1]}, and the base's is "
            f"{' × '.join(map(str, own.shape))}; give the base that it was trained on."
        )
    like = own.dtype if own.is_floating_point() else torch.get_default_dtype()
    return Factors(up.to(like).contiguous(), down.to(like).contiguous())


def _whole(lora: LoRA, name: str, tensor: Tensor, places: Mapping[str, Place]) -> Place:
    place = places.get(name)
    if place is None or place.parameter.shape != tensor.shape or not place.parameter.is_floating_point():
        has = "no such parameter" if place is None else f"one of shape {list(place.parameter.shape)}"
        raise UserError(
            f"{lora.name} holds {quoted(name)} {list(tensor.shape)} as a whole, and the base has {has}; give the base "
            "that it was trained on (untied and of the same vocabulary)."
        )
    return place


def _offsets(read: Sequence[LoRA], places: Mapping[str, Place]) -> dict[str, Tensor]:
    """What adapters change of parameters that are no matrices (biases): δ [T, *shape], where there is something."""
    found = {}
    for name, place in places.items():
        if place.layer is None and any(name in lora.whole for lora in read):
            base = place.parameter.detach().double().cpu()
            rows = [lora.whole[name].double() - base if name in lora.whole else torch.zeros_like(base) for lora in read]
            if torch.stack(rows).any():
                found[name] = torch.stack(rows)
    return found


def _told(tasks: PerTask) -> MergedLayer:
    """The report on what is taken as it is."""
    there = [one for one in tasks if one is not None]
    sizes = [0.0 if one is None else float((one.up.double() @ one.down.double()).norm()) for one in tasks]
    full = min(min(len(one.up), one.down.shape[1]) for one in there)
    return MergedLayer(max(one.rank for one in there), full, tuple(0.0 for _ in tasks), tuple(sizes))
