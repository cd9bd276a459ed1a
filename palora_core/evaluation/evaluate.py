"""Evaluating a model over preferences: losses, metrics and effect of every λ on a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core import batches, distributed
from palora_core.batches import Batch, Caller, Passing
from palora_core.conditioning.base import ParetoModel
from palora_core.data import count_batches, head, iterate
from palora_core.effects import effects
from palora_core.errors import UserError
from palora_core.evaluation.front import Front, propose_reference
from palora_core.objectives import Accumulator, Convention, Objective, check_objectives
from palora_core.serving import LiveNetwork
from palora_core.simplex import evaluation_preferences
from palora_core.sources import Source, as_sources

GROUP_BYTES = 32 * 2**20  # inputs and targets in memory at once


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
    if preferences is None:
        preferences = _grid(model)
    live = live_network(model, sources, dtype, passing)
    sums = _accumulate(live, sources, objectives, preferences, batch_size, convention, progress)
    results = distributed.gathered([[accumulator.compute() for accumulator in row] for row in sums])
    values = np.array([[result["loss"] for result in row] for row in results])
    metrics = {
        f"{one.name}/{metric.name}": np.array([row[t][metric.name] for row in results])
        for t, one in enumerate(objectives)
        for metric in one.metrics
    }
    return Front(
        preferences.double().numpy(),
        values,
        metrics,
        tuple(one.name for one in objectives),
        tuple(reference) if reference is not None else propose_reference(values),
        about or {},
        effects(live, sources, objectives, batch_size) if model.controllable else {},
    )


def live_network(
    model: ParetoModel, sources: Sequence[Source], dtype: torch.dtype = torch.float32, passing: Passing = "auto"
) -> LiveNetwork:
    """The network for λ after λ on the inputs of these sources."""
    return LiveNetwork(model, _example(sources[0]), dtype, caller=Caller(model.network, passing))


def _grid(model: ParetoModel) -> Tensor:
    tasks = model.num_tasks
    return evaluation_preferences(tasks) if model.controllable else torch.full((1, tasks), 1 / tasks)


def _example(source: Source) -> Any:
    """Two items' inputs (one alone may be all that there is), for finding out how a network is wired."""
    return head(source.split, 2)[0]


def _accumulate(
    live: LiveNetwork,
    sources: Sequence[Source],
    objectives: Sequence[Objective],
    preferences: Tensor,
    batch_size: int,
    convention: Convention,
    progress: Callable[[int, int], None] | None,
) -> list[list[Accumulator]]:
    """This rank's preferences × objectives, over all batches of all sources."""
    mine = preferences[distributed.part(len(preferences))]
    sums = [[one.accumulator(convention) for one in objectives] for _ in mine]
    total = sum(count_batches(source.split, batch_size) for source in sources)
    # Progress is told equally often on all ranks, with the same numbers: a caller may agree with the others on a stop.
    rounds = -(-len(preferences) // distributed.world_size())
    done = 0
    for source, group in chain.from_iterable(_groups(source, batch_size) for source in sources):
        for batch in group:
            for t in source.objectives:
                objectives[t].check(batch)  # while they are on the host
        group = [batches.to_device(batch, live.device) for batch in group]
        for number in range(rounds):
            for batch in group if number < len(mine) else ():
                outputs = live(batch[0], mine[number])
                for t in source.objectives:
                    sums[number][t].update(outputs, batch)
            if progress:
                progress(done + len(group) * (number + 1) // rounds, total)
        done += len(group)
    return sums


def _groups(source: Source, batch_size: int) -> Iterator[tuple[Source, list[Batch]]]:
    """The batches of a source, each loaded once, a few at a time: λ is merged once for all of a group."""
    group: list[Batch] = []
    for batch in iterate(source.split, batch_size):
        group.append(batch)
        if sum(map(batches.nbytes, group)) >= GROUP_BYTES:
            yield source, group
            group = []
    if group:
        yield source, group
