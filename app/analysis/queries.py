"""Questions to an evaluated front: values at any λ, and the λ that meets a wish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import torch

from palora_core.evaluation.front import Front
from palora_core.simplex import is_on_simplex, simplex_lattice
from palora_core.tasks import LOSS, Metric, Task

# Partitions of the lattice on which wishes are answered.
FINE = {1: 1, 2: 500, 3: 60}


@dataclass(frozen=True)
class Column:
    """One quantity over the K points of a front.

    Attributes:
        key: ``"task/metric"``; the objective is ``"task/loss"``.
        task: task name.
        metric: what the number means.
        values: [K].
    """

    key: str
    task: str
    metric: Metric
    values: np.ndarray

    @property
    def label(self) -> str:
        """Text for axes and lists."""
        return f"{self.task.replace('_', ' ')} {self.metric.label}"

    def to_json(self) -> dict[str, Any]:
        """For the browser; unknown values are null."""
        return {
            "key": self.key,
            "task": self.task,
            "label": self.label,
            "unit": self.metric.unit,
            "higher": self.metric.higher_is_better,
            "values": [float(v) if np.isfinite(v) else None for v in self.values],
        }


def columns(front: Front, tasks: Sequence[Task]) -> list[Column]:
    """Objectives first, then every metric the front has, in the order of the tasks.

    Args:
        front: the front.
        tasks: its T tasks.
    """
    found = [Column(f"{task.name}/loss", task.name, LOSS, front.objectives[:, t]) for t, task in enumerate(tasks)]
    for task in tasks:
        for metric in task.metrics:
            key = f"{task.name}/{metric.name}"
            if key in front.metrics:
                found.append(Column(key, task.name, metric, front.metrics[key]))
    return found


def on_simplex(preference: Sequence[float]) -> bool:
    """Whether λ [T] has weights ≥ 0 that sum to 1, up to rounding: only there does an evaluated front say anything."""
    return is_on_simplex(torch.tensor(preference), tolerance=1e-3)


def interpolate(preferences: np.ndarray, values: np.ndarray, at: Sequence[float] | np.ndarray) -> np.ndarray:
    """Values [N, …] at λ's ``at`` [N, T] from those at the evaluated ones.

    Piecewise linear where the evaluated λ's are a lattice of two or three tasks; otherwise weighted by the inverse
    fourth power of the distance.

    Args:
        preferences: evaluated λ's [K, T].
        values: [K, …].
        at: [N, T].
    """
    at = np.atleast_2d(np.asarray(at, dtype=float))
    weights = _lattice_weights(preferences, at)
    if weights is None:
        distances = np.square(at[:, None] - preferences[None]).sum(-1)
        weights = 1 / (distances**2 + 1e-12)
        weights /= weights.sum(1, keepdims=True)
    return np.tensordot(weights, np.asarray(values, dtype=float), axes=1)


def _lattice_weights(preferences: np.ndarray, at: np.ndarray) -> np.ndarray | None:
    """Weights [N, K] of linear interpolation, or None if the evaluated λ's are no lattice of T ≤ 3 tasks."""
    count, num_tasks = preferences.shape
    if num_tasks == 1:
        return np.full((len(at), count), 1 / count)
    parts = partitions(count, num_tasks)
    if num_tasks > 3 or parts is None or not np.allclose(preferences * parts, np.round(preferences * parts), atol=1e-3):
        return None
    place = np.zeros((parts + 2,) * (num_tasks - 1), dtype=int)
    place[tuple(np.round(preferences * parts).astype(int)[:, :-1].T)] = np.arange(count)
    inside = np.clip(at, 0, 1)
    position = inside[:, :-1] / np.maximum(inside.sum(1, keepdims=True), 1e-9) * parts
    weights = np.zeros((len(at), count))
    for corner, weight in _corners(position, parts):
        known = weight > 1e-9  # a corner without weight may lie outside the lattice
        weights[known.nonzero()[0], place[tuple(corner[known].T)]] += weight[known]
    return weights


def _corners(position: np.ndarray, parts: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Corners [N, T − 1] and weights [N] of the cells (segments or triangles) around ``position`` [N, T − 1]."""
    low = np.minimum(np.floor(position + 1e-9).astype(int), parts)
    part = np.clip(position - low, 0, 1)
    steps = np.eye(low.shape[1], dtype=int)
    if len(steps) == 1:
        return [(low, 1 - part[:, 0]), (low + 1, part[:, 0])]
    across, up = part.T
    upper = across + up > 1  # the triangle of a square's other half
    return [
        (low + upper[:, None], np.where(upper, across + up - 1, 1 - across - up)),
        (low + steps[0], np.where(upper, 1 - up, across)),
        (low + steps[1], np.where(upper, 1 - across, up)),
    ]


def partitions(count: int, num_tasks: int) -> int | None:
    """The partitions of the simplex lattice that has ``count`` points; None if none has."""
    parts = 1
    while comb(parts + num_tasks - 1, num_tasks - 1) < count:
        parts += 1
    return parts if comb(parts + num_tasks - 1, num_tasks - 1) == count else None


@dataclass(frozen=True)
class Wish:
    """A bound on one column: no worse than ``bound`` in its own direction."""

    column: Column
    bound: float

    def __str__(self) -> str:
        sign = "≥" if self.column.metric.higher_is_better else "≤"
        return f"{self.column.label} {sign} {self.column.metric.format(self.bound)}"


@dataclass(frozen=True)
class Answer:
    """The λ [T] found, what the front promises there, and by how much each wish is missed (empty if none is)."""

    preference: tuple[float, ...]
    values: dict[str, float]
    missed: dict[str, float]

    @property
    def feasible(self) -> bool:
        """Whether all wishes are met."""
        return not self.missed


def relative_bound(column: Column, share: float) -> float:
    """The bound "at least ``share`` of the best": a fraction of a score, or an error up to best / share."""
    if column.metric.higher_is_better:
        return float(np.nanmax(column.values) * share)
    return float(np.nanmin(column.values) / share)


def find(front: Front, wishes: Sequence[Wish], push: Column) -> Answer:
    """The λ that is best in ``push`` among those that meet all wishes; without any, the one that misses least.

    Args:
        front: the evaluated front; values between its points are interpolated.
        wishes: bounds.
        push: what to make as good as possible.
    """
    candidates = candidates_of(front)
    gaps = np.zeros((len(wishes), len(candidates)))
    for w, wish in enumerate(wishes):
        values = interpolate(front.preferences, wish.column.values, candidates)
        gaps[w] = np.maximum(0, (wish.bound - values) * (1 if wish.column.metric.higher_is_better else -1))
    extents = np.array([np.ptp(wish.column.values) or 1.0 for wish in wishes])
    scaled = (gaps / extents[:, None]).max(0) if len(wishes) else np.zeros(len(candidates))
    # Interpolation and rounded bounds leave traces below a millionth of the extent.
    allowed = scaled <= max(1e-6, scaled.min() + 1e-9)
    goal = interpolate(front.preferences, push.values, candidates) * (1 if push.metric.higher_is_better else -1)
    best = int(np.where(allowed, goal, -np.inf).argmax())
    missed = {str(wish): float(gap) for wish, gap, s in zip(wishes, gaps[:, best], gaps[:, best] / extents) if s > 1e-6}
    shown = [*(wish.column for wish in wishes), push]
    at = candidates[best]
    values = {c.key: float(interpolate(front.preferences, c.values, at)[0]) for c in shown}
    return Answer(tuple(float(v) for v in at.round(4)), values, missed)


def candidates_of(front: Front) -> np.ndarray:
    """The λ's [N, T] among which wishes are answered: a fine lattice, or the evaluated ones where T > 3."""
    num_tasks = front.preferences.shape[1]
    lattice = num_tasks in FINE and partitions(len(front.preferences), num_tasks) is not None
    return simplex_lattice(num_tasks, FINE[num_tasks]).double().numpy() if lattice else front.preferences
