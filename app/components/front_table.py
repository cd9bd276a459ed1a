"""The table of a comparison: series in, rows out; as a data frame, CSV and LaTeX. No Streamlit here."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.components.dominance import MOST_TASKS
from app.components.quantities import Quantity
from app.library.contenders import Arena, Contender, Series

SPECIAL = {"\\": r"\textbackslash{}", **{c: f"\\{c}" for c in "&%$#_{}"}, "~": r"\textasciitilde{}", "^": r"\^{}"}
SYMBOLS = {"λ": r"$\lambda$", "α": r"$\alpha$", "×": r"$\times$", "·": r"$\cdot$", "–": "--", "°": r"$^\circ$"}


@dataclass(frozen=True)
class Column:
    """One figure of the table.

    Attributes:
        key: identifies it.
        heading: for people, with its unit.
        decimals: digits after the point.
        better: 1 if more is better, −1 if less is, 0 if neither.
        of: its value for one contender; None where it is not known.
        help: what it means.
    """

    key: str
    heading: str
    decimals: int
    better: int
    of: Callable[[Contender], float | None]
    help: str = ""


@dataclass(frozen=True)
class Cell:
    """Mean over seeds, and their standard deviation where there are several."""

    mean: float
    std: float | None = None


Row = dict[str, Cell | None]


def columns(arena: Arena, shown: Mapping[str, Quantity], times: Mapping[str, float] | None = None) -> list[Column]:
    """All columns of an arena.

    Args:
        arena: benchmark and tasks.
        shown: its quantities by key.
        times: model id → measured milliseconds per prediction.
    """
    times, reference = times or {}, arena.reference
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
    few = list(enumerate(arena.tasks))[:6]
    for t, task in few:
        heading = f"Spearman {task.name.replace('_', ' ')}"
        text = "Rank correlation of λ and loss; −1: more weight always means less loss."
        found.append(Column(f"spearman {task.name}", heading, 2, -1, _of_front("spearman", t), text))
    for t, task in few:
        text = "How far the loss ranges over the non-dominated points."
        heading = f"spread {task.name.replace('_', ' ')}"
        found.append(Column(f"spread {task.name}", heading, 3, 0, _of_front("spread", t), text))
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


def best(column: Column, table: Sequence[Row]) -> int | None:
    """Index of the best row, or None where there is no better."""
    known = [(column.better * row[column.key].mean, i) for i, row in enumerate(table) if row[column.key]]  # type: ignore[union-attr]
    return max(known)[1] if column.better and len(known) > 1 else None


def records(series: Sequence[Series], wanted: Sequence[Column], table: Sequence[Row]) -> list[dict[str, Any]]:
    """For a data frame that sorts: numbers as numbers, standard deviations in a column of their own."""
    varying = {column.key for column in wanted if any((row[column.key] or Cell(0)).std is not None for row in table)}
    found = []
    for one, row in zip(series, table):
        record: dict[str, Any] = {"method": one.name, "seeds": len(one.members)}
        for column in wanted:
            value = row[column.key] or Cell(float("nan"))
            record[column.heading] = _rounded(value.mean, column)
            if column.key in varying and (column.key == "hypervolume" or column.key.startswith("best ")):
                record[f"± {column.heading}"] = _rounded(value.std, column)
        found.append(record)
    return found


def _rounded(value: float | None, column: Column) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, column.decimals + 2)


def to_csv(series: Sequence[Series], wanted: Sequence[Column], table: Sequence[Row]) -> str:
    """Mean and standard deviation of everything, at full precision."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    heads = [part for column in wanted for part in (column.heading, f"{column.heading} (std)")]
    writer.writerow(["method", "published", "seeds", *heads])
    for one, row in zip(series, table):
        cells: list[Any] = []
        for column in wanted:
            value = row[column.key]
            cells += (
                ["", ""] if value is None else [f"{value.mean:.8g}", "" if value.std is None else f"{value.std:.8g}"]
            )
        writer.writerow([_inert(one.name), "yes" if one.published else "no", len(one.members), *cells])
    return buffer.getvalue()


def to_latex(series: Sequence[Series], wanted: Sequence[Column], table: Sequence[Row]) -> str:
    """A ``booktabs`` table, the best of each column in bold."""
    lines = [r"\begin{tabular}{l" + "r" * len(wanted) + "}", r"\toprule"]
    lines += [" & ".join(["Method", *(escape(column.heading) for column in wanted)]) + r" \\", r"\midrule"]
    winners = {column.key: best(column, table) for column in wanted}
    for number, (one, row) in enumerate(zip(series, table)):
        cells = [_latex_cell(row[column.key], column, winners[column.key] == number) for column in wanted]
        lines.append(" & ".join([escape(one.name), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(SPECIAL.get(c, SYMBOLS.get(c, c)) for c in text)


def _latex_cell(value: Cell | None, column: Column, wins: bool) -> str:
    if value is None:
        return "--"
    number = f"{value.mean:.{column.decimals}f}"
    number = rf"\mathbf{{{number}}}" if wins else number
    deviation = "" if value.std is None else rf" \pm {value.std:.{column.decimals}f}"
    return f"${number}{deviation}$"


def _inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _of_front(name: str, task: int) -> Callable[[Contender], float | None]:
    def value(contender: Contender) -> float | None:
        if len(contender.front.preferences) < 2:
            return None
        return float(getattr(contender.front, name)()[task])

    return value


def _best(quantity: Quantity) -> Callable[[Contender], float | None]:
    def value(contender: Contender) -> float | None:
        values = quantity.of(contender.front)
        if not np.isfinite(values).any():
            return None
        return float(np.nanmax(values) if quantity.metric.higher_is_better else np.nanmin(values))

    return value


def _parameters(contender: Contender) -> float | None:
    counts = contender.card.get("parameters") or {}
    return float(counts["base"] + counts["extra"]) if {"base", "extra"} <= set(counts) else None


def _overhead(contender: Contender) -> float | None:
    return (contender.card.get("parameters") or {}).get("overhead_percent")


def _seconds(contender: Contender) -> float | None:
    return (contender.card.get("training") or {}).get("seconds")
