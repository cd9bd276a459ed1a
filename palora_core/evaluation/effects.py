"""How much λ changes what a network predicts: per item, between corners of the simplex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from palora_core import batches, distributed
from palora_core.data import Data, iterate
from palora_core.objectives import Objective
from palora_core.serving import LiveNetwork
from palora_core.sources import Source
from palora_core.tasks import Task

ITEMS = 2048  # of a split that predictions at the corners are compared on
KEPT_BYTES = 64 * 2**20  # of predictions that wait for those at other corners, beyond a single batch's

Predictions = dict[int, Tensor]  # place in λ → a task's predictions for a batch


class Comparison:
    """What tasks' predictions change by between corners of the simplex, collected batch by batch.

    Args:
        tasks: place in λ → task.
        corners: T.
        most: items that are compared.

    Attributes:
        together: as many batches may be kept with their predictions until all corners have seen them.
    """

    def __init__(self, tasks: Mapping[int, Task], corners: int, most: int = ITEMS) -> None:
        self.tasks, self.corners, self.most = tasks, corners, most
        self.together = 1  # until it is known how large predictions are
        self._found: list[tuple[int, Tensor]] = []  # number of the first item, effects [B, len(tasks), T]
        self._announced = self._turn = 0

    @property
    def full(self) -> bool:
        """Whether enough items were announced."""
        return self._announced >= self.most or not self.tasks

    def announce(self, items: int) -> range:
        """A batch of so many items is coming: which items, in the order of the split, this rank is to compare.

        They are the first of the batch. Ranks take turns; all of them are told of all batches.
        """
        mine = self._turn % distributed.world_size() == distributed.rank()
        first, end = self._announced, min(self._announced + items, self.most)
        self._announced += items
        self._turn += 1
        return range(first, end if mine else first)

    def read(self, outputs: Any, items: int) -> Predictions:
        """What is kept of a pass at a corner: predictions for the first ``items``."""
        return {t: task.prediction_of(outputs)[:items] for t, task in self.tasks.items()}

    @torch.no_grad()
    def add(self, items: range, at_corners: Sequence[Predictions]) -> None:
        """Compare the predictions for the items of one batch at all corners [T]."""
        kept = sum(tensor.nbytes for predictions in at_corners for tensor in predictions.values())
        self.together = max(1, KEPT_BYTES // max(1, kept))
        rows = [self._from_corner(t, [predictions[t] for predictions in at_corners]) for t in self.tasks]
        self._found.append((items.start, torch.stack(rows, 1).cpu()))

    def _from_corner(self, own: int, predictions: Sequence[Tensor]) -> Tensor:
        """Effects [B, T] between a task's predictions at its own corner and at all corners."""
        here, effect = predictions[own], self.tasks[own].effect
        there = [effect(here, prediction).float() if prediction is not here else None for prediction in predictions]
        zeros = torch.zeros(len(here), device=here.device)
        return torch.stack([zeros if found is None else found for found in there], 1)

    def changes(self) -> Tensor:
        """[N, len(tasks), T] of all ranks on the CPU, by :meth:`palora_core.tasks.Task.effect` in each task's unit."""
        found = sorted(distributed.gathered(self._found), key=lambda part: part[0])
        return torch.cat([torch.zeros(0, len(self.tasks), self.corners), *(effects for _, effects in found)])

    def effects(self) -> dict[str, float]:
        """Task name → mean over the items, at the corner that differs most."""
        means = self.changes().mean(0)
        return {task.name: float(row.max()) for task, row in zip(self.tasks.values(), means)}


def tasks_among(objectives: Sequence[Objective]) -> dict[int, Task]:
    """Place in λ → task; objectives that are no tasks have no predictions."""
    return {t: one for t, one in enumerate(objectives) if isinstance(one, Task)}


def comparisons(sources: Sequence[Source], tasks: Mapping[int, Task], corners: int) -> list[Comparison]:
    """One per source, of the tasks that no earlier source feeds."""
    found: list[Comparison] = []
    for source in sources:
        known = {t for comparison in found for t in comparison.tasks}
        fed = {t: tasks[t] for t in source.objectives if t in tasks and t not in known}
        found.append(Comparison(fed, corners))
    return found


def joined(found: Sequence[Comparison], objectives: Sequence[Objective]) -> dict[str, float]:
    """How much λ changes each task's predictions: its own corner of the simplex against the one that differs most.

    Returns:
        Task name → mean over up to ``ITEMS`` items of :meth:`palora_core.tasks.Task.effect`, in its unit.
        Objectives that are no tasks have none.
    """
    effects = {name: value for one in found if one.tasks for name, value in one.effects().items()}
    return {one.name: effects[one.name] for one in objectives if one.name in effects}


def compare(live: LiveNetwork, split: Data, comparison: Comparison, batch_size: int) -> Comparison:
    """Pass the first items of a split through the network at all corners, where no front is made that does it."""
    for batch in iterate(split, min(batch_size, comparison.most)) if not comparison.full else ():
        inputs = batches.to_device(batch[0], live.device)
        items = comparison.announce(batches.count(inputs))
        if items:
            outputs = (live(inputs, corner) for corner in torch.eye(comparison.corners))
            comparison.add(items, [comparison.read(found, len(items)) for found in outputs])
        if comparison.full:
            break
    return comparison


def effects(
    live: LiveNetwork, sources: Sequence[Source], objectives: Sequence[Objective], batch_size: int
) -> dict[str, float]:
    """:func:`joined` without a front."""
    found = comparisons(sources, tasks_among(objectives), len(objectives))
    for source, comparison in zip(sources, found):
        compare(live, source.split, comparison, batch_size)
    return joined(found, objectives)


def by_item(live: LiveNetwork, split: Data, objectives: Sequence[Objective], batch_size: int) -> Tensor:
    """How much λ changes each item, [N] of the first ``ITEMS``: the rule by which samples are chosen and ordered.

    The sum over tasks of what their predictions change by between the two corners of :func:`effects`, each in
    multiples of its mean over the items, so that shares of pixels and degrees can be added. Empty without tasks.
    """
    tasks = tasks_among(objectives)
    if not tasks:
        return torch.zeros(0)
    found = compare(live, split, Comparison(tasks, len(objectives)), batch_size).changes()
    farthest = found.mean(0).argmax(1)  # per task, the corner that differs most from its own
    compared = found[:, torch.arange(len(tasks)), farthest]
    return (compared / compared.mean(0).clamp(min=1e-12)).sum(1)
