"""Limits on a front: which part of it meets them, which of them stand in the way, and by how much.

Between evaluated preferences a front is linear here (lattices of two and three tasks), so the part that meets limits is
made of exact polygons; with more tasks only its evaluated points are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.analysis.even_steps import cells_between
from app.analysis.queries import Answer, Column, Wish, find, interpolate
from palora_core.evaluation.front import Front

SMALL = 1e-9


def slack(wish: Wish, values: np.ndarray) -> np.ndarray:
    """By how much values [K] are better than a limit; negative where they miss it."""
    return (values - wish.bound) * (1 if wish.column.metric.higher_is_better else -1)


def meets(wishes: Sequence[Wish]) -> np.ndarray:
    """Which evaluated points meet all limits, bool [K]."""
    return np.array([slack(wish, wish.column.values) >= -SMALL for wish in wishes]).all(0)


def feasible_part(front: Front, wishes: Sequence[Wish]) -> list[np.ndarray]:
    """The λ's that meet all limits: segments or convex polygons [n, T], one per cell of the lattice that has any.

    Exact for the interpolated front; [] for more than three tasks and where nothing meets them.
    """
    slacks = np.array([slack(wish, wish.column.values) for wish in wishes])
    found = []
    for cell in cells_between(front.preferences):
        corners = np.column_stack([front.preferences[cell], slacks[:, cell].T])
        inside = _clipped(corners, front.preferences.shape[1])
        if len(inside) >= 2:
            found.append(inside[:, : front.preferences.shape[1]])
    return found


def _clipped(corners: np.ndarray, num_tasks: int) -> np.ndarray:
    """A convex polygon (or segment) whose rows are λ and slacks, where no slack is negative (Sutherland–Hodgman)."""
    for which in range(num_tasks, corners.shape[1]):
        kept = []
        pairs = len(corners) if len(corners) > 2 else len(corners) - 1
        for i in range(pairs):
            a, b = corners[i], corners[(i + 1) % len(corners)]
            if a[which] >= -SMALL:
                kept.append(a)
            if (a[which] >= -SMALL) != (b[which] >= -SMALL):
                kept.append(a + (b - a) * a[which] / (a[which] - b[which]))
        if len(corners) == 2 and corners[1][which] >= -SMALL:
            kept.append(corners[1])
        corners = np.array(kept)
        if len(corners) < 2:
            return np.empty((0, num_tasks))
    return corners


@dataclass(frozen=True)
class Conflict:
    """What stands in the way of limits that no λ meets.

    Attributes:
        wish: one of them.
        missed: by how much the nearest λ misses it; 0 if it does not.
        reachable: its best value among the λ's that meet all others, or None if those cannot be met either.
    """

    wish: Wish
    missed: float
    reachable: float | None


def conflicts(front: Front, wishes: Sequence[Wish], nearest: Answer) -> list[Conflict]:
    """Per limit, what the nearest λ misses of it and what the others leave of it."""
    found = []
    for wish in wishes:
        others = [other for other in wishes if other is not wish]
        best = find(front, others, wish.column)
        reachable = best.values[wish.column.key] if best.feasible else None
        found.append(Conflict(wish, nearest.missed.get(str(wish), 0.0), reachable))
    return found


def binding(front: Front, wishes: Sequence[Wish], preference: Sequence[float], share: float = 0.01) -> list[Wish]:
    """The limits that a λ meets with less than ``share`` of their column's extent to spare."""
    found = []
    for wish in wishes:
        spare = float(slack(wish, interpolate(front.preferences, wish.column.values, list(preference)))[0])
        if -SMALL <= spare <= share * float(np.ptp(wish.column.values)):
            found.append(wish)
    return found


# -- words -----------------------------------------------------------------------------------------------------------
def size(column: Column, amount: float) -> str:
    """An amount of a column in words: "1.2 points", "0.03 m"."""
    return column.metric.change(abs(amount), 0.0)[1:]


def here(front: Front, wishes: Sequence[Wish], preference: Sequence[float]) -> str:
    """Whether a λ meets the limits, and what it misses; "" without any."""
    if not wishes:
        return ""
    values = [float(interpolate(front.preferences, w.column.values, list(preference))[0]) for w in wishes]
    gaps = [(w, -float(slack(w, np.array([v]))[0])) for w, v in zip(wishes, values)]
    missed = [f"{wish} by {size(wish.column, gap)}" for wish, gap in gaps if gap > SMALL]
    if missed:
        return f"This λ misses {' and '.join(missed)}."
    tight = binding(front, wishes, preference)
    count = {1: "the limit", 2: "both limits"}.get(len(wishes), f"all {len(wishes)} limits")
    return f"This λ meets {count}" + (f"; {' and '.join(map(str, tight))} binds." if tight else ".")


def sentence(front: Front, wishes: Sequence[Wish], answer: Answer, pushed: Column) -> str:
    """An answer to limits in words: what it gives, or which limits stand in the way and by how much."""
    weights = ", ".join(f"{v:.2f}" for v in answer.preference)
    shown = list(dict.fromkeys([wish.column.key for wish in wishes] + [pushed.key]))
    known = {wish.column.key: wish.column for wish in wishes} | {pushed.key: pushed}
    there = " and ".join(f"{known[key].label} {known[key].metric.format(answer.values[key])}" for key in shown)
    if answer.feasible:
        tight = binding(front, wishes, answer.preference)
        bound = f" What binds: {', '.join(map(str, tight))}." if tight else ""
        return f"λ = ({weights}) gives {there} on the evaluated split.{bound}"
    found = conflicts(front, wishes, answer)
    missed = " and ".join(f"{c.wish} by {size(c.wish.column, c.missed)}" for c in found if c.missed)
    if len(wishes) == 1:
        by = size(wishes[0].column, found[0].missed)
        return f"No preference gives {wishes[0]}: the nearest, λ = ({weights}), misses it by {by} ({there})."
    left = [
        f"with the others met, {c.wish.column.label} gets to {c.wish.column.metric.format(c.reachable)}"
        for c in found
        if c.reachable is not None
    ]
    alone = f" {'; '.join(left)}." if left else " No single limit is to blame: taking back one of them is not enough."
    return (
        f"No preference meets all {len(wishes)} limits: the nearest, λ = ({weights}), misses {missed} ({there}).{alone}"
    )
