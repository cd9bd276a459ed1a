"""``pc.from_checkpoints([net_a, net_b], base=None)``: steer between networks that people have, without training."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from palora_core.conditioning.lowrank import LowRankModel
from palora_core.errors import UserError
from palora_core.merging.alignment import aligned
from palora_core.merging.assembly import PerTask, assembled
from palora_core.merging.factors import Factors, exact_factors, low_rank_factors, relative_error
from palora_core.merging.places import Place, places_of
from palora_core.merging.report import MergedLayer, MergeReport
from palora_core.merging.states import State, check_alike, differences, mean_of, state_of
from palora_core.merging.statistics import set_statistics

MOST = 100


def from_checkpoints(
    checkpoints: Sequence[nn.Module | Mapping[str, Tensor]],
    base: nn.Module | Mapping[str, Tensor] | None = None,
    rank: int | None = None,
    error: float | None = None,
    scale: float = 1.0,
    align: Literal["none", "ties"] = "none",
    density: float = 0.2,
    network: nn.Module | None = None,
    batches: Iterable[Any] | None = None,
) -> LowRankModel:
    """W(λ) = W₀ + scale · Σ_t λ_t (W_t − W₀) of networks that were fine-tuned from one start (task arithmetic).

    Without ``base``, W₀ is their mean, and W(λ) = Σ_t λ_t W_t for λ on the simplex (rewarded soups). All parameters are
    mixed: weights as adapters, exact unless ``rank`` or ``error`` says otherwise; biases, scales of normalisation,
    positions exactly; for statistics of BatchNorm see ``batches``. ``model.report`` says what was kept.

    Args:
        checkpoints: T networks, or their state_dicts, with the same names and shapes.
        base: W₀, what all of them were fine-tuned from: a network or its state_dict.
        rank: largest rank of a layer's differences.
        error: per layer and task the largest ‖Δ − Δ̂‖ / ‖Δ‖, from which each layer's rank follows.
        scale: how far λ_t = 1 goes from W₀; 1 is to the checkpoint itself.
        align: ``"ties"`` leaves out small entries of the differences, and those against the sign that the tasks agree
            on, see :mod:`palora_core.merging.alignment`; the corners are then no longer the checkpoints.
        density: share of entries that ``"ties"`` keeps.
        network: an instance of the network where only state_dicts are given.
        batches: inputs (no labels) on which BatchNorm statistics are measured at the corners and the centre. Without
            them each corner has those of its checkpoint, other λ mix them, and a warning says so.

    Returns:
        A model like ``pc.palorize``'s, in evaluation mode: it trains on, saves, serves and evaluates likewise.

    Raises:
        UserError: not one network, options that do not go together, or something that λ cannot mix.
    """
    _check_options(checkpoints, base, rank, error, scale, align, density)
    named = {f"Checkpoint {number}": one for number, one in enumerate(checkpoints, start=1)}
    states = {what: state_of(one, what) for what, one in named.items()}
    given = next((one for one in (network, base, *checkpoints) if isinstance(one, nn.Module)), None)
    if given is None:
        raise UserError("These are all state_dicts; give network=, an instance of the network that they belong to.")
    own = copy.deepcopy(given)
    compared = dict(states) if base is None else {"The base": state_of(base, "The base"), **states}
    check_alike(own, compared)
    tasks = list(states.values())
    start = mean_of(tasks) if base is None else compared["The base"]
    own.load_state_dict(dict(start))
    arranged = _Differences(own, start, tasks, density if align == "ties" else None)
    factors, layers = arranged.factors(rank, error)
    offsets = arranged.offsets()
    model = assembled(own, len(tasks), factors, offsets, scale)
    statistics = set_statistics(model, tasks, batches, scale)
    model.report = MergeReport(layers, tuple(offsets), statistics)
    return model


class _Differences:
    """What the checkpoints add to the base, parameter by parameter.

    Args:
        network: with the base's weights.
        base: W₀.
        states: W_t.
        density: of TIES; None leaves the differences as they are.
    """

    def __init__(self, network: nn.Module, base: State, states: Sequence[State], density: float | None) -> None:
        self.base, self.states, self.density = base, states, density
        self.places = places_of(network)

    def of(self, name: str) -> list[Tensor]:
        """W_t − W₀ for all t, float64."""
        found = differences(self.base, self.states, name)
        return found if self.density is None else aligned(found, self.density)

    def factors(self, rank: int | None, error: float | None) -> tuple[dict[str, PerTask], dict[str, MergedLayer]]:
        """Of every weight that differs, once where several layers share it: its factors per task, and their errors."""
        factors: dict[str, PerTask] = {}
        told: dict[str, MergedLayer] = {}
        seen: set[int] = set()
        for name, place in self.places.items():
            if place.layer is None or id(place.parameter) in seen:
                continue
            seen.add(id(place.parameter))
            matrices = [one.reshape(len(one), -1) for one in self.of(name)]
            found = [_factors(matrix, place, rank, error) for matrix in matrices]
            if any(one is not None for one in found):
                factors[name], told[name] = found, _told(matrices, found)
        return factors, told

    def offsets(self) -> dict[str, Tensor]:
        """Of every other parameter that differs: δ [T, *shape]."""
        found = {name: torch.stack(self.of(name)) for name, place in self.places.items() if place.layer is None}
        return {name: stacked for name, stacked in found.items() if stacked.any()}


def _factors(matrix: Tensor, place: Place, rank: int | None, error: float | None) -> Factors | None:
    if not matrix.any():
        return None
    exact = rank is None and not error
    found = exact_factors(matrix) if exact else low_rank_factors(matrix, rank, error)
    own = place.parameter.dtype
    return Factors(found.up.to(own), found.down.to(own))


def _told(matrices: Sequence[Tensor], found: Sequence[Factors | None]) -> MergedLayer:
    rank = max(one.rank for one in found if one is not None)
    errors = tuple(0.0 if one is None else relative_error(matrix, one) for matrix, one in zip(matrices, found))
    return MergedLayer(rank, min(matrices[0].shape), errors, tuple(float(matrix.norm()) for matrix in matrices))


def _check_options(
    checkpoints: Sequence[Any], base: Any, rank: Any, error: Any, scale: float, align: str, density: float
) -> None:
    if isinstance(checkpoints, Mapping | nn.Module | str) or not isinstance(checkpoints, Sequence):
        raise UserError(f"checkpoints is a {type(checkpoints).__name__}; expected a list of networks or state_dicts.")
    least = 2 if base is None else 1
    if not least <= len(checkpoints) <= MOST:
        raise UserError(f"Found {len(checkpoints)} checkpoints; expected {least} to {MOST}.")
    if rank is not None and error is not None:
        raise UserError("Give rank= or error=, not both: a layer's rank follows from its error.")
    if rank is not None and (not isinstance(rank, int) or isinstance(rank, bool) or rank < 1):
        raise UserError(f"rank must be a whole number of at least 1, found {rank!r}.")
    if error is not None and not 0 <= error < 1:
        raise UserError(f"error must be from 0 to 1 (relative, so below 1), found {error!r}.")
    if not math.isfinite(scale):
        raise UserError(f"scale must be a finite number, found {scale!r}.")
    if align not in ("none", "ties"):
        raise UserError(f"align must be 'none' or 'ties', found {align!r}.")
    if align == "ties" and base is None:
        raise UserError("align='ties' compares signs of differences from one start; give base=, the network before.")
    if not 0 < density <= 1:
        raise UserError(f"density must be above 0 and at most 1, found {density!r}.")
