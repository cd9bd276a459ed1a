"""How sure the figures of a few preferences are: a paired bootstrap over the items of a split (Efron, 1979).

Sums are kept per item, so a resampled split is a weighted sum of them, and its metrics are those that
:func:`palora_core.evaluate` would compute on it, exactly. All preferences are resampled with the same draws: what makes
an item hard cancels where two are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from palora_core import batches
from palora_core.data import Split
from palora_core.errors import UserError
from palora_core.objectives import Objective, Sums

ROUNDS = 400
LEAST_ITEMS = 8


@dataclass(frozen=True)
class Resampled:
    """Figures over resampled splits.

    Attributes:
        figures: ``"task/metric"`` → [K, R], one row per preference; NaN where a draw has no valid element.
        whole: ``"task/metric"`` → [K], the figures of the split itself.
        items: N, how many items were drawn from.
    """

    figures: dict[str, np.ndarray]
    whole: dict[str, np.ndarray]
    items: int

    def band(self, key: str, share: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """The ends [K] of the central interval that holds ``share`` of the resampled figures."""
        ends = np.nanquantile(self.figures[key], [(1 - share) / 2, (1 + share) / 2], axis=1)
        return ends[0], ends[1]

    def better(self, key: str, first: int, second: int, higher_is_better: bool) -> float:
        """The share of resampled splits on which one preference beats another; draws count half."""
        a, b = self.figures[key][first], self.figures[key][second]
        known = np.isfinite(a) & np.isfinite(b)
        if not known.any():
            return float("nan")
        gain = (a - b)[known] * (1 if higher_is_better else -1)
        return float((gain > 0).mean() + 0.5 * (gain == 0).mean())


def bootstrap(
    predict: Callable[[batches.Batch, Tensor], object],
    split: Split,
    objectives: Sequence[Objective],
    preferences: Tensor,
    rounds: int = ROUNDS,
    batch_size: int = 16,
    seed: int = 0,
    most: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Resampled:
    """Resample a split for K preferences.

    Args:
        predict: (batch, λ [T]) → outputs.
        split: N items.
        objectives: T objectives; only their losses and summed metrics are resampled.
        preferences: λ's [K, T].
        rounds: R, how many splits are drawn.
        batch_size: items per forward pass.
        seed: of the draws.
        most: how many items are drawn from, the first ones; all of them if None.
        progress: called with (passes done, passes).

    Raises:
        UserError: fewer items than a bootstrap can say anything about.
    """
    count = len(split) if most is None else min(most, len(split))
    if count < LEAST_ITEMS:
        raise UserError(f"There are {count} items to resample; a bootstrap needs at least {LEAST_ITEMS}.")
    sums = item_sums(predict, split, objectives, preferences, count, batch_size, progress)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=rounds)
    drawn = torch.from_numpy(np.vstack([np.ones(count, int), weights])).double()  # the split itself comes first
    figures: dict[str, np.ndarray] = {}
    for t, objective in enumerate(objectives):
        rows = [_summarised(objective, per_item[t], drawn) for per_item in sums]
        figures |= {f"{objective.name}/{name}": np.array([row[name] for row in rows]) for name in rows[0]}
    whole = {key: values[:, 0] for key, values in figures.items()}
    return Resampled({key: values[:, 1:] for key, values in figures.items()}, whole, count)


@torch.no_grad()
def item_sums(
    predict: Callable[[batches.Batch, Tensor], object],
    split: Split,
    objectives: Sequence[Objective],
    preferences: Tensor,
    count: int,
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Sums]]:
    """Per preference and objective its sums over the first ``count`` items, a row for each: name → [count, …]."""
    kept: list[list[list[Sums]]] = [[[] for _ in objectives] for _ in preferences]
    parts = torch.arange(count).split(batch_size)
    total, done = len(parts) * len(preferences), 0
    for batch in (split.batch(part) for part in parts):
        for k, preference in enumerate(preferences):
            outputs = predict(batch, preference)
            for i in range(batches.count(batch[0])):
                one = batches.rows(batch, slice(i, i + 1))
                own = batches.rows(outputs, slice(i, i + 1))
                for t, objective in enumerate(objectives):
                    kept[k][t].append(objective.sums(own, one))
            done += 1
            if progress:
                progress(done, total)
    return [[_stacked(rows) for rows in per_objective] for per_objective in kept]


def _stacked(rows: Sequence[Sums]) -> Sums:
    return {name: torch.stack([row[name].double().cpu() for row in rows]) for name in rows[0]}


def _summarised(objective: Objective, per_item: Sums, drawn: Tensor) -> dict[str, list[float]]:
    """Every figure over each draw: counts of items [R, N] times sums [N, …]."""
    sums = {name: (drawn @ rows.reshape(len(rows), -1)).reshape(-1, *rows.shape[1:]) for name, rows in per_item.items()}
    found: dict[str, list[float]] = {}
    for r in range(len(drawn)):
        for name, value in objective.summarise({key: rows[r] for key, rows in sums.items()}).items():
            found.setdefault(name, []).append(float(value))
    return found
