"""The passes behind a front: every preference over every batch of a split, each batch loaded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from palora_core import batches, distributed
from palora_core.batches import Batch
from palora_core.data import count_batches, iterate
from palora_core.evaluation.effects import Comparison, Predictions, comparisons, joined, tasks_among
from palora_core.objectives import Convention, Objective
from palora_core.serving import LiveNetwork
from palora_core.sources import Source

GROUP_BYTES = 32 * 2**20  # inputs and targets in memory at once

Progress = Callable[[int, int], None]


class FrontSums:
    """Sums of this rank's preferences × objectives over a split, and the effect of λ from the same passes.

    Args:
        live: the network, at λ after λ.
        sources: the split.
        objectives: T objectives in the order of λ.
        preferences: the front's λ's [K, T]; under ``torchrun`` a rank has its share of them.
        convention: how metrics are averaged.
        compared: whether predictions at the corners of the simplex are compared.
    """

    def __init__(
        self,
        live: LiveNetwork,
        sources: Sequence[Source],
        objectives: Sequence[Objective],
        preferences: Tensor,
        convention: Convention,
        compared: bool,
    ) -> None:
        self.live, self.sources, self.objectives = live, sources, objectives
        self._preferences = preferences[distributed.part(len(preferences))]
        # Progress is told equally often on all ranks, with the same numbers: they may agree on a stop there.
        self._rounds = -(-len(preferences) // distributed.world_size())
        self._sums = [[one.accumulator(convention) for one in objectives] for _ in self._preferences]
        self._comparisons = comparisons(sources, tasks_among(objectives) if compared else {}, len(objectives))
        self._corners = torch.eye(len(objectives))
        self._numbers = [self._number(corner) for corner in self._corners]

    def _number(self, corner: Tensor) -> int | None:
        """Which of this rank's preferences is ``corner``."""
        return next((k for k, preference in enumerate(self._preferences) if torch.equal(preference, corner)), None)

    def add(self, batch_size: int, progress: Progress | None = None) -> None:
        """All batches of all sources."""
        done, total = 0, sum(count_batches(source.split, batch_size) for source in self.sources)
        for source, comparison in zip(self.sources, self._comparisons):
            for group in groups(source, batch_size):
                self._check(source, group)
                moved = [batches.to_device(batch, self.live.device) for batch in group]
                for rounds in self._passes(source, moved, comparison):
                    if progress:
                        progress(done + len(group) * rounds // self._rounds, total)
                done += len(group)

    def compute(self) -> list[list[dict[str, float]]]:
        """Losses and metrics of all ranks' preferences × objectives."""
        return distributed.gathered([[accumulator.compute() for accumulator in row] for row in self._sums])

    def effects(self) -> dict[str, float]:
        """How much λ changes each task's predictions, see :func:`palora_core.evaluation.effects.joined`."""
        return joined(self._comparisons, self.objectives)

    def _check(self, source: Source, group: Sequence[Batch]) -> None:
        """Refuse wrong targets while they are on the host."""
        for batch in group:
            for t in source.objectives:
                self.objectives[t].check(batch)

    def _passes(self, source: Source, group: Sequence[Batch], comparison: Comparison) -> Iterator[int]:
        """λ after λ over a group, merged once for all of it; yields how many are done."""
        compared = self._at_corners(source, group, comparison)
        for number in range(self._rounds):
            if number < len(self._preferences):
                for batch in group[compared if number in self._numbers else 0 :]:
                    self._pass(source, batch, self._preferences[number], number)
            yield number + 1

    def _at_corners(self, source: Source, group: Sequence[Batch], comparison: Comparison) -> int:
        """The corners over those first batches of a group that are compared there; returns how many these are."""
        done = 0
        while done < len(group) and not comparison.full:
            some: list[tuple[Batch, range]] = []
            for batch in group[done : done + comparison.together]:
                if not comparison.full:
                    some.append((batch, comparison.announce(batches.count(batch[0]))))
            at_corners = [self._at_corner(t, source, some, comparison) for t in range(len(self._corners))]
            for items, *predictions in zip(filter(None, (items for _, items in some)), *at_corners):
                comparison.add(items, predictions)
            done += len(some)
        return done

    def _at_corner(
        self, t: int, source: Source, some: Sequence[tuple[Batch, range]], comparison: Comparison
    ) -> list[Predictions]:
        """Predictions at one corner for the batches with items to compare; the others count if the front has it."""
        kept = []
        for batch, items in some:
            if items or self._numbers[t] is not None:
                outputs = self._pass(source, batch, self._corners[t], self._numbers[t])
                kept += [comparison.read(outputs, len(items))] if items else []
        return kept

    def _pass(self, source: Source, batch: Batch, preference: Tensor, number: int | None) -> Any:
        """Outputs at a λ, which count for the front's point of that ``number``."""
        with batches.network_failures(batch[0]):
            outputs = self.live(batch[0], preference)
        if number is not None:
            for t in source.objectives:
                self._sums[number][t].update(outputs, batch)
        return outputs


def groups(source: Source, batch_size: int) -> Iterator[list[Batch]]:
    """The batches of a source, each loaded once, a few at a time."""
    group: list[Batch] = []
    size = 0
    for batch in iterate(source.split, batch_size):
        group.append(batch)
        size += batches.nbytes(batch)
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
