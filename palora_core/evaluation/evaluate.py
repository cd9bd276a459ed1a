"""Evaluating a model over preferences: losses, metrics and effect of every λ on a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core.batches import Caller, Passing, network_failures
from palora_core.conditioning.base import ParetoModel
from palora_core.data import head
from palora_core.errors import UserError
from palora_core.evaluation.front import Front, propose_reference
from palora_core.evaluation.front_sums import FrontSums
from palora_core.objectives import Convention, Objective, check_objectives
from palora_core.serving import LiveNetwork
from palora_core.simplex import evaluation_preferences
from palora_core.sources import Source, as_sources


def evaluate(
    model: ParetoModel,
    data: Any,
    objectives: Any,
    reference: Sequence[float] | None = None,
    preferences: Tensor | None = None,
    batch_size: int = 64,
    dtype: torch.dtype = torch.float32,
    convention: Convention = "exact",
    progress: Callable[[int, int], None] | None = None,
    about: dict[str, Any] | None = None,
    passing: Passing = "auto",
) -> Front:
    """Losses and metrics of every preference on a split; each batch is loaded once for all K.

    Under ``torchrun`` all ranks call this: each evaluates its share of the preferences, and all get the whole front.

    Args:
        model: the network; an unconditioned one is evaluated at a single point.
        data: a ``DataLoader``, a data set, arrays, a split, or one of them per objective (see
            :func:`palora_core.sources.as_sources`).
        objectives: T objectives in the order of λ, or name → function of (outputs, batch).
        reference: hypervolume reference [T]; one a little beyond the worst values found if None.
        preferences: λ's [K, T]; by default the benchmark grid (11 for T = 2, 66 for T = 3, …).
        batch_size: items per forward pass, where the data are not a loader.
        dtype: precision of the forward passes.
        convention: how metrics are averaged, see :meth:`palora_core.objectives.Objective.accumulator`.
        progress: called with (batches done, batches).
        about: recorded in the front.
        passing: how inputs become arguments, see :class:`palora_core.batches.Caller`.

    Raises:
        UserError: data, objectives or metrics that do not fit, named.
    """
    objectives = check_objectives(objectives)
    sources = as_sources(data, objectives)
    if len(objectives) != model.num_tasks:
        raise UserError(
            f"The model has {model.num_tasks} adapters per layer and there are {len(objectives)} objectives; λ has one "
            "entry for each."
        )
    grid = _grid(model) if preferences is None else preferences
    live = live_network(model, sources, dtype, passing)
    sums = FrontSums(live, sources, objectives, grid, convention, compared=model.controllable)
    sums.add(batch_size, progress)
    return _front(sums, objectives, grid, reference, about or {})


def _front(
    sums: FrontSums,
    objectives: Sequence[Objective],
    preferences: Tensor,
    reference: Sequence[float] | None,
    about: dict[str, Any],
) -> Front:
    results = sums.compute()
    values = np.array([[result["loss"] for result in row] for row in results])
    metrics = {
        f"{one.name}/{metric.name}": np.array([row[t][metric.name] for row in results])
        for t, one in enumerate(objectives)
        for metric in one.metrics
    }
    names = tuple(one.name for one in objectives)
    reference = tuple(reference) if reference is not None else propose_reference(values)
    return Front(preferences.double().numpy(), values, metrics, names, reference, about, sums.effects())


def live_network(
    model: ParetoModel, sources: Sequence[Source], dtype: torch.dtype = torch.float32, passing: Passing = "auto"
) -> LiveNetwork:
    """The network for λ after λ on the inputs of these sources."""
    example = head(sources[0].split, 2)[0]  # two items (one alone may be all that there is) tell how it is wired
    with network_failures(example):
        return LiveNetwork(model, example, dtype, caller=Caller(model.network, passing))


def _grid(model: ParetoModel) -> Tensor:
    tasks = model.num_tasks
    return evaluation_preferences(tasks) if model.controllable else torch.full((1, tasks), 1 / tasks)
