"""A comparison as files: CSV of the table, of every seed and of every point, and a LaTeX table. No Streamlit here."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from app.components.front_table import Cell, Column, Row, best
from app.components.quantities import Quantity
from app.library.lab import Lab, headings
from app.library.leaderboards import EvaluatedModel
from app.library.series import Series

SPECIAL = {"\\": r"\textbackslash{}", **{c: f"\\{c}" for c in "&%$#_{}"}, "~": r"\textasciitilde{}", "^": r"\^{}"}
SYMBOLS = {"λ": r"$\lambda$", "α": r"$\alpha$", "×": r"$\times$", "·": r"$\cdot$", "–": "--", "°": r"$^\circ$"}


def table_csv(series: Sequence[Series], wanted: Sequence[Column], table: Sequence[Row]) -> str:
    """A row per method: mean over its seeds and standard deviation of everything, at full precision."""
    heads = [part for column in wanted for part in (column.heading, f"{column.heading} (std)")]
    rows = []
    for one, row in zip(series, table):
        cells = [row[column.key] for column in wanted]
        numbers = [part for cell in cells for part in ((cell.mean, cell.std) if cell else (None, None))]
        rows.append([one.name, _yes(one.published), len(one.members), *map(_number, numbers)])
    return csv_text(["method", "published", "seeds", *heads], rows)


def seeds_csv(series: Sequence[Series], wanted: Sequence[Column]) -> str:
    """A row per method and seed with every figure of the table."""
    rows = (
        [one.name, _yes(one.published), member.seed, member.id, *(_number(column.of(member)) for column in wanted)]
        for one in series
        for member in one.members
    )
    return csv_text(["method", "published", "seed", "model", *(column.heading for column in wanted)], rows)


def runs_csv(lab: Lab, models: Sequence[EvaluatedModel], wanted: Sequence[Column]) -> str:
    """A row per run: name, tags, every setting in which runs differ, every figure, the note."""
    settings = headings(list(lab.settings))
    rows = (
        [
            lab.names[one.id],
            one.id,
            ", ".join(one.note.tags),
            *(_cell_of(lab.settings[key][one.id]) for key in lab.settings),
            *(_number(column.of(one)) for column in wanted),
            one.note.text,
        ]
        for one in models
    )
    heads = ["run", "model", "tags", *settings.values(), *(column.heading for column in wanted), "note"]
    return csv_text(heads, rows)


def _cell_of(value: float | str | None) -> float | str | None:
    return _number(value) if isinstance(value, float) else value


def points_csv(series: Sequence[Series], known: Mapping[str, Quantity], tasks: Sequence[str]) -> str:
    """A row per method, seed and evaluated preference: λ, every loss and metric, and whether it is non-dominated."""
    heads = ["method", "published", "seed", "model", "point", *(f"λ {task}" for task in tasks), "non-dominated"]
    rows = []
    for one in series:
        for member in one.members:
            front = member.front
            columns = [quantity.of(front) for quantity in known.values()]
            kept = front.nondominated()
            for k, preference in enumerate(np.asarray(front.preferences).tolist()):
                # A single solution has one point; whatever λ stands in its front, it is the same network for all.
                weights = [None] * len(tasks) if one.single else [_number(weight) for weight in preference]
                values = [_number(column[k]) for column in columns]
                start = [one.name, _yes(one.published), member.seed, member.id, k + 1]
                rows.append([*start, *weights, _yes(bool(kept[k])), *values])
    return csv_text([*heads, *(quantity.label for quantity in known.values())], rows)


def to_latex(series: Sequence[Series], wanted: Sequence[Column], table: Sequence[Row]) -> str:
    """A ``booktabs`` table; in bold all that are best in a column, unless there all are alike."""
    lines = [r"\begin{tabular}{l" + "r" * len(wanted) + "}", r"\toprule"]
    lines += [" & ".join(["Method", *(escape(column.heading) for column in wanted)]) + r" \\", r"\midrule"]
    winners = {column.key: best(column, table) for column in wanted}
    for number, (one, row) in enumerate(zip(series, table)):
        cells = [_latex_cell(row[column.key], column, number in winners[column.key]) for column in wanted]
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
    # Where all seeds are equal (a count of parameters) there is no spread to tell.
    deviation = rf" \pm {value.std:.{column.decimals}f}" if value.std else ""
    return f"${number}{deviation}$"


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Lines of CSV, in which no cell is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_inert(head) for head in heads])
    writer.writerows([["" if cell is None else _inert(cell) for cell in row] for row in rows])
    return buffer.getvalue()


def _number(value: float | None) -> float | str | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.8g}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _inert(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell
