"""How figures of candidates hold: over a bootstrap of test items, and over runs that differ in their seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from app.analysis.queries import Column, interpolate
from app.bench.shortlist import Candidate
from app.library.loading import LoadedModel
from palora_core.batches import Batch
from palora_core.errors import UserError
from palora_core.evaluation.bootstrap import Resampled, bootstrap
from palora_core.evaluation.front import Front

MOST_ITEMS = 256


@dataclass(frozen=True)
class Trust:
    """What resampling says of candidates of one model.

    Attributes:
        candidates: K of them.
        columns: the figures that are told.
        found: figures over resampled items, in the candidates' order.
    """

    candidates: tuple[Candidate, ...]
    columns: tuple[Column, ...]
    found: Resampled

    @property
    def heads(self) -> list[str]:
        """Of the table: a column per candidate."""
        return ["", *(one.name for one in self.candidates)]

    def rows(self, against: str) -> list[list[str]]:
        """Per figure each candidate's value on these items, its band, and how often it beats the one compared with."""
        names = [one.name for one in self.candidates]
        reference = names.index(against) if against in names else None
        table = []
        for column in self.columns:
            low, high = self.found.band(column.key)
            better = column.metric.higher_is_better
            cells = []
            for k, value in enumerate(self.found.whole[column.key]):
                band = f"{column.metric.format(low[k])} to {column.metric.format(high[k])}"
                beats = ""
                if reference is not None and k != reference:
                    beats = f"; {percent(self.found.better(column.key, k, reference, better))} better than {against}"
                cells.append(f"{column.metric.format(value)} ({band}{beats})")
            table.append([f"{column.label} {'↑' if better else '↓'}", *cells])
        return table

    @property
    def told(self) -> str:
        """What it was measured on."""
        return (
            f"Measured anew at each very λ on {self.found.items} test items; in brackets the central 95 % of "
            f"{next(iter(self.found.figures.values())).shape[1]} resampled splits, and the share of them on which a "
            "candidate is better. Which items there are is in it; which training run it was is not."
        )


def percent(share: float) -> str:
    """A probability in words, never more certain than the number of draws allows."""
    if not np.isfinite(share):
        return "–"
    return "< 1 %" if share < 0.01 else "> 99 %" if share > 0.99 else f"{100 * share:.0f} %"


def trust(
    loaded: LoadedModel, candidates: Sequence[Candidate], columns: Sequence[Column], progress: Any = None
) -> Trust:
    """Resample the test items at hand for candidates of a model.

    Raises:
        UserError: too few items, or none of the candidates are this model's.
    """
    own = tuple(one for one in candidates if one.model == loaded.entry.id)
    if not own or loaded.measured is None:
        raise UserError("There is nothing to resample: keep candidates of a model that came with test items.")
    split = loaded.measured
    count = min(len(split), loaded.most_items(MOST_ITEMS))

    def predict(batch: Batch, preference: torch.Tensor) -> Any:
        return loaded.caller.at(loaded.model, batch[0], preference)

    preferences = torch.tensor([one.preference for one in own])
    try:
        found = bootstrap(predict, split, loaded.tasks, preferences, most=count, progress=progress)
    except UserError as error:
        raise UserError(f"{error} More come with `palora evaluate` on the whole split.") from None
    known = tuple(column for column in columns if column.key in found.whole)
    return Trust(own, known, found)


def over_seeds(fronts: Sequence[Front], column: Column, preference: Sequence[float]) -> np.ndarray:
    """A figure at λ on the fronts of runs that differ in their seed, [S]; those that do not have it are left out."""
    task = list(fronts[0].tasks).index(column.task) if fronts else 0
    found = []
    for front in fronts:
        values = front.objectives[:, task] if column.key.endswith("/loss") else front.metrics.get(column.key)
        if values is not None:
            found.append(float(interpolate(front.preferences, values, list(preference))[0]))
    return np.array([value for value in found if np.isfinite(value)])


def seeds_sentence(fronts: Sequence[Front], columns: Sequence[Column], candidate: Candidate) -> str:
    """A candidate's figures over seeds in words; "" where there is one run alone."""
    if len(fronts) < 2:
        return ""
    parts = []
    for column in columns:
        values = over_seeds(fronts, column, candidate.preference)
        if len(values) > 1:
            extent = f"{column.metric.format(values.min())} to {column.metric.format(values.max())}"
            parts.append(f"{column.label} {extent}")
    return f"{candidate.name} over {len(fronts)} seeds: {', '.join(parts)}." if parts else ""
