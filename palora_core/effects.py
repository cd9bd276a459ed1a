"""How much λ changes what a network predicts: per item, between corners of the simplex."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from palora_core import batches
from palora_core.data import Data, iterate
from palora_core.objectives import Objective
from palora_core.serving import LiveNetwork
from palora_core.sources import Source
from palora_core.tasks import Task

ITEMS = 2048  # of a split that predictions at the corners are compared on


@torch.no_grad()
def changes(
    live: LiveNetwork, split: Data, tasks: dict[int, Task], corners: int, batch_size: int, most: int = ITEMS
) -> Tensor:
    """What every task's predictions change by, from its own corner of the simplex to each of the others.

    Args:
        live: the network.
        split: the items; of those the first ``most``, in whole batches.
        tasks: place in λ → task.
        corners: T.
        batch_size: items per forward pass.
        most: see ``split``.

    Returns:
        [N, len(tasks), T] on the CPU, by :meth:`palora_core.tasks.Task.effect` in each task's unit.
    """
    found, items = [torch.zeros(0, len(tasks), corners)], 0
    for batch in iterate(split, min(batch_size, most)):
        inputs = batches.to_device(batch[0], live.device)
        outputs = [live(inputs, corner) for corner in torch.eye(corners)]
        found.append(torch.stack([_from_corner(task, t, outputs) for t, task in tasks.items()], 1))
        items += len(found[-1])
        if items >= most:
            break
    return torch.cat(found)[:most]


def effects(
    live: LiveNetwork, sources: Sequence[Source], objectives: Sequence[Objective], batch_size: int
) -> dict[str, float]:
    """How much λ changes each task's predictions: its own corner of the simplex against the one that differs most.

    Returns:
        Task name → mean over up to ``ITEMS`` items of :meth:`palora_core.tasks.Task.effect`, in its unit.
        Objectives that are no tasks have none.
    """
    found: dict[str, float] = {}
    for source in sources:
        tasks = {t: one for t in source.objectives if isinstance(one := objectives[t], Task) and one.name not in found}
        if not tasks:
            continue
        means = changes(live, source.split, tasks, len(objectives), batch_size).mean(0)
        found |= {task.name: float(row.max()) for task, row in zip(tasks.values(), means)}
    return {one.name: found[one.name] for one in objectives if one.name in found}


def by_item(live: LiveNetwork, split: Data, objectives: Sequence[Objective], batch_size: int) -> Tensor:
    """How much λ changes each item, [N] of the first ``ITEMS``: the rule by which samples are chosen and ordered.

    The sum over tasks of what their predictions change by between the two corners of :func:`effects`, each in
    multiples of its mean over the items, so that shares of pixels and degrees can be added. Empty without tasks.
    """
    tasks = {t: one for t, one in enumerate(objectives) if isinstance(one, Task)}
    if not tasks:
        return torch.zeros(0)
    found = changes(live, split, tasks, len(objectives), batch_size)
    farthest = found.mean(0).argmax(1)  # per task, the corner that differs most from its own
    compared = found[:, torch.arange(len(tasks)), farthest]
    return (compared / compared.mean(0).clamp(min=1e-12)).sum(1)


def _from_corner(task: Task, own: int, outputs: Sequence[Any]) -> Tensor:
    """Effects [B, T] between a task's predictions at its own corner and at all corners, given their outputs."""
    predictions = [task.prediction_of(found) for found in outputs]
    there = [task.effect(predictions[own], prediction).float().cpu() for prediction in predictions]
    return torch.stack(there, 1)
