"""The table of a comparison: series in, rows out. No Streamlit here."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.components.dominance import MOST_TASKS
from app.components.quantities import Quantity
from app.library.leaderboards import EvaluatedModel, Leaderboard
from app.library.series import Series
from palora_core.tasks import Task


@dataclass(frozen=True)
class Column:
    """One figure of the table.

    Attributes:
        key: identifies it.
        heading: for people, with its unit.
        decimals: digits after the point.
        better: 1 if more is better, −1 if less is, 0 if neither.
        of: its value for one model; None where it is not known.
        help: what it means.
    """

    key: str
    heading: str
    decimals: int
    better: int
    of: Callable[[EvaluatedModel], float | None]
    help: str = ""


@dataclass(frozen=True)
class Cell:
    """Mean over seeds, and their standard deviation where there are several."""

    mean: float
    std: float | None = None


Row = dict[str, Cell | None]


def columns(
    board: Leaderboard, shown: Mapping[str, Quantity], times: Mapping[str, float] | None = None
) -> list[Column]:
    """All columns of a leaderboard.

    Args:
        board: benchmark and tasks.
        shown: its quantities by key.
        times: model id → measured milliseconds per prediction.
    """
    times, reference = times or {}, board.reference
    point = ", ".join(f"{v:g}" for v in reference[:4]) + (", …" if len(reference) > 4 else "")
    found = [
        Column(
            "hypervolume",
            f"hypervolume, ref. ({point})",
            4,
            1,
            lambda c: c.front.hypervolume(reference) if len(reference) <= MOST_TASKS else None,
            "Volume of the losses between the front and the reference point; more is better.",
        ),
        Column(
            "nondominated",
            "non-dominated",
            1,
            1,
            lambda c: float(c.front.nondominated().sum()),
            "How many evaluated preferences no other one of the same front beats in every loss.",
        ),
        Column("points", "of", 0, 0, lambda c: float(len(c.front.preferences)), "Evaluated preferences."),
    ]
    few = list(enumerate(board.tasks))[:6]
    for t, task in few:
        heading = f"Spearman {task.name.replace('_', ' ')}"
        text = "Rank correlation of λ and loss; −1: more weight always means less loss."
        found.append(Column(f"spearman {task.name}", heading, 2, -1, _of_front("spearman", t), text))
    for t, task in few:
        text = "How far the loss ranges over the non-dominated points."
        heading = f"spread {task.name.replace('_', ' ')}"
        found.append(Column(f"spread {task.name}", heading, 3, 0, _of_front("spread", t), text))
    for task in (one for _, one in few if isinstance(one, Task)):
        heading = f"{task.name.replace('_', ' ')} changed by λ [{task.effect_unit}]"
        text = "How much predictions differ between the corners of λ" + (
            f": share of {task.effect_of}." if task.effect_of else "."
        )
        found.append(Column(f"effect {task.name}", heading, 1, 0, _effect(task), text))
    for key, quantity in shown.items():
        if quantity.task < 6:
            better = 1 if quantity.metric.higher_is_better else -1
            decimals = 2 if quantity.metric.unit in ("%", "°") else 4
            found.append(Column(f"best {key}", f"best {quantity.label}", decimals, better, _best(quantity)))
    found += [
        Column("parameters", "parameters", 0, -1, _parameters, "All stored numbers, adapters included."),
        Column("overhead", "overhead [%]", 2, -1, _overhead, "Parameters on top of the plain network."),
        Column("seconds", "training [s]", 0, 0, _seconds, "Wall time on the machine of the card."),
        Column("milliseconds", "ms per prediction", 1, -1, lambda c: times.get(c.id), "Measured here, one thread."),
    ]
    return found


def rows(series: Sequence[Series], wanted: Sequence[Column]) -> list[Row]:
    """A row per series; every cell is a mean over its seeds."""
    return [{column.key: cell([column.of(member) for member in one.members]) for column in wanted} for one in series]


def cell(values: Sequence[float | None]) -> Cell | None:
    """Mean and sample standard deviation of the values that are known."""
    known = [float(v) for v in values if v is not None and np.isfinite(v)]
    if not known:
        return None
    return Cell(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


def filled(wanted: Sequence[Column], table: Sequence[Row]) -> list[Column]:
    """The columns that hold anything."""
    return [column for column in wanted if any(row[column.key] for row in table)]


def best(column: Column, table: Sequence[Row]) -> set[int]:
    """Indices of the best rows: all that are equal as they are printed; none where there is no better one."""
    printed = {i: round(row[column.key].mean, column.decimals) for i, row in enumerate(table) if row[column.key]}  # type: ignore[union-attr]
    if not column.better or len(set(printed.values())) < 2:
        return set()
    top = max(printed.values(), key=lambda value: column.better * value)
    return {i for i, value in printed.items() if value == top}


def _of_front(name: str, task: int) -> Callable[[EvaluatedModel], float | None]:
    def value(model: EvaluatedModel) -> float | None:
        if len(model.front.preferences) < 2:
            return None
        return float(getattr(model.front, name)()[task])

    return value


def _effect(task: Task) -> Callable[[EvaluatedModel], float | None]:
    """Of those that λ steers: the effect on a task, fractions in percent."""

    def value(model: EvaluatedModel) -> float | None:
        effect = model.front.effect().get(task.name)
        return None if effect is None else effect * (100 if task.effect_unit == "%" else 1)

    return value


def _best(quantity: Quantity) -> Callable[[EvaluatedModel], float | None]:
    def value(model: EvaluatedModel) -> float | None:
        values = quantity.of(model.front)
        if not np.isfinite(values).any():
            return None
        return float(np.nanmax(values) if quantity.metric.higher_is_better else np.nanmin(values))

    return value


def _parameters(model: EvaluatedModel) -> float | None:
    counts = model.card.get("parameters") or {}
    return float(counts["base"] + counts["extra"]) if {"base", "extra"} <= set(counts) else None


def _overhead(model: EvaluatedModel) -> float | None:
    return (model.card.get("parameters") or {}).get("overhead_percent")


def _seconds(model: EvaluatedModel) -> float | None:
    return (model.card.get("training") or {}).get("seconds")
