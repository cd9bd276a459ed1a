"""What a gain costs at a point of a front, where its knee is, what is as good as a candidate but better in one thing.

All of it is about the interpolated front: exact at evaluated preferences, linear between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.analysis.limits import size
from app.analysis.queries import Answer, Column, Wish, candidates_of, find, interpolate
from palora_core.evaluation.front import Front
from palora_core.objectives import Objective

STEP = 0.05  # of the way to a task's corner: what is told is the mean over it
HARDLY = 0.002  # share of a column's extent that is nothing
MOST_TASKS = 4


@dataclass(frozen=True)
class Exchange:
    """What changes on the way from a λ towards one task's corner.

    Attributes:
        gained: the task's own column.
        gain: by how much it gets better, in its own unit.
        costs: of the other columns by how much they get worse (negative where they get better too).
    """

    gained: Column
    gain: float
    costs: tuple[tuple[Column, float], ...]


def leading(columns: Sequence[Column], tasks: Sequence[Objective]) -> list[Column]:
    """One column per task: its first metric that the front knows, or else its loss."""
    found = []
    for task in tasks:
        own = [column for column in columns if column.task == task.name and np.isfinite(column.values).all()]
        found += sorted(own, key=lambda column: column.key.endswith("/loss"))[:1]
    return found


def exchanges(front: Front, columns: Sequence[Column], preference: Sequence[float]) -> list[Exchange]:
    """Per task, what the next step towards its corner gains and costs; corners themselves have no further step."""
    at, found = np.asarray(preference, float), []
    for column in columns:
        corner = np.array([float(name == column.task) for name in front.tasks])
        if np.abs(corner - at).max() < 1e-6 or not corner.any():
            continue
        there = at + STEP * (corner - at)
        steps = {c.key: _better(front, c, there) - _better(front, c, at) for c in columns}
        costs = tuple((other, -steps[other.key]) for other in columns if other is not column)
        found.append(Exchange(column, steps[column.key], costs))
    return found


def _better(front: Front, column: Column, at: np.ndarray) -> float:
    sign = 1 if column.metric.higher_is_better else -1
    return sign * float(interpolate(front.preferences, column.values, at)[0])


def sentences(front: Front, columns: Sequence[Column], preference: Sequence[float]) -> list[str]:
    """The exchanges at a λ in words, for a few tasks: "One more point of mIoU costs 0.008 m of depth error"."""
    if len(columns) > MOST_TASKS:
        return []
    return [told(exchange) for exchange in exchanges(front, columns, preference)]


def told(exchange: Exchange) -> str:
    """One exchange in words."""
    column = exchange.gained
    if exchange.gain <= HARDLY * float(np.ptp(column.values)):
        return f"Towards {_task(column)}, {column.label} hardly gets better from here."
    unit = unit_step(column)
    scale = unit / exchange.gain
    worse, better = [], []
    for other, cost in exchange.costs:
        amount = size(other, _short(cost * scale))
        if abs(cost) <= HARDLY * float(np.ptp(other.values)) or not float(amount.split()[0]):
            continue
        (worse if cost > 0 else better).append(f"{amount} of {other.label}")
    more = "more" if column.metric.higher_is_better else "less"
    points = column.metric.unit == "%"
    gain = f"One point {more} of {column.label}" if points else f"{size(column, unit)} {more} {column.label}"
    if not worse:
        return f"{gain} costs hardly anything" + (f" and also brings {' and '.join(better)}." if better else ".")
    return f"{gain} costs {' and '.join(worse)}" + (f", and brings {' and '.join(better)}." if better else ".")


def unit_step(column: Column) -> float:
    """A round step of a column: a point of a share, elsewhere 1, 2 or 5 times a power of ten near 2 % of its extent."""
    if column.metric.unit == "%":
        return 0.01
    rough = float(np.ptp(column.values)) / 50 or 1.0
    power = 10.0 ** np.floor(np.log10(rough))
    return float(power * next(m for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9)))


def _short(amount: float) -> float:
    """A rate to two digits: more would promise what a slope does not keep."""
    return float(f"{amount:.2g}")


def _task(column: Column) -> str:
    return column.task.replace("_", " ")


def knee(front: Front, columns: Sequence[Column]) -> tuple[float, ...]:
    """The λ farthest from the plane through the columns' extremes: giving up little of one gains much of the rest.

    Columns are scaled to [0, 1] between their worst and best; the plane is that on which the scaled columns have one
    sum (the boundary intersection of Das, 1999), so the farthest point is the one with the largest sum.
    """
    at = candidates_of(front)
    score = np.zeros(len(at))
    for column in columns:
        values = interpolate(front.preferences, column.values, at) * (1 if column.metric.higher_is_better else -1)
        score += (values - values.min()) / (np.ptp(values) or 1.0)
    return tuple(float(v) for v in at[int(score.argmax())].round(4))


def as_good_but(front: Front, columns: Sequence[Column], preference: Sequence[float], push: Column) -> Answer | None:
    """The λ as good as another in all columns and best in ``push``; None if that is hardly better in it."""
    values = {c.key: float(interpolate(front.preferences, c.values, list(preference))[0]) for c in columns}
    wishes = [Wish(c, values[c.key]) for c in columns if c.key != push.key]
    answer = find(front, wishes, push)
    before = float(interpolate(front.preferences, push.values, list(preference))[0])
    gain = (answer.values[push.key] - before) * (1 if push.metric.higher_is_better else -1)
    return answer if answer.feasible and gain > HARDLY * float(np.ptp(push.values)) else None
