"""Results from elsewhere as fronts: a table of numbers, of whose columns somebody says what they are."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.library.leaderboards import EvaluatedModel, Leaderboard
from palora_core.errors import UserError, quoted
from palora_core.evaluation.front import Front

MOST_ROWS, MOST_COLUMNS = 20_000, 300
ADDED = "added:"  # how ids of such runs begin
NAMES = ("run", "name", "method", "model", "trial")
SEEDS = ("seed",)


@dataclass(frozen=True)
class Table:
    """What a file holds: texts by the heads of their columns.

    Attributes:
        name: of the file, for people.
        heads: of the columns.
        rows: a text per head.
    """

    name: str
    heads: tuple[str, ...]
    rows: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Meaning:
    """Which column is what; "" for none.

    Attributes:
        losses: a column per objective.
        weights: λ, a column per objective; () where rows are single solutions.
        name: what a run is called; rows of one name and seed are one front.
        seed: of the training.
        metrics: quantity's key → column.
        factors: quantity's key → what its column is divided by to be as fronts have it (percents are fractions there).
    """

    losses: tuple[str, ...]
    weights: tuple[str, ...] = ()
    name: str = ""
    seed: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)


def read_csv(name: str, data: bytes) -> Table:
    """The table of a CSV file: commas, semicolons or tabs between columns.

    Raises:
        UserError: not such a file, without rows, or with too many.
    """
    try:
        lines = data.decode("utf-8-sig")
        head = lines[: lines.find("\n")] if "\n" in lines else lines
        comma = max(",;\t", key=head.count)
        found = list(csv.reader(io.StringIO(lines, newline=""), delimiter=comma))
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{quoted(name)} is no table in text form (CSV, UTF-8); save it as one.") from None
    found = [row for row in found if any(cell.strip() for cell in row)]
    if len(found) < 2:
        raise UserError(f"{quoted(name)} has no row below its head; the head names the columns.")
    return checked(name, [cell.strip() for cell in found[0]], found[1:])


def checked(name: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of rows that are as long as its head.

    Raises:
        UserError: too many rows or columns, two columns of one name, or a row of another length.
    """
    if len(rows) > MOST_ROWS or len(heads) > MOST_COLUMNS:
        raise UserError(
            f"{quoted(name)} has {len(rows):,} rows and {len(heads):,} columns; expected at most {MOST_ROWS:,} and "
            f"{MOST_COLUMNS}."
        )
    twice = next((head for head in heads if heads.count(head) > 1), None)
    if twice is not None:
        raise UserError(f"{quoted(name)} has two columns called {quoted(twice)}; give each a name of its own.")
    for place, row in enumerate(rows, start=1):
        if len(row) != len(heads):
            raise UserError(f"Row {place} of {quoted(name)} has {len(row)} cells, and the head {len(heads)}.")
    return Table(name, tuple(heads), [dict(zip(heads, map(str.strip, row))) for row in rows])


def guessed(table: Table, board: Leaderboard, labels: Mapping[str, str]) -> Meaning:
    """What columns seem to mean, by their heads, as this program's own files have them.

    Args:
        table: the file.
        board: whose objectives are looked for.
        labels: quantity's key → what it is called ("income accuracy [%]").
    """
    plain = {head.lower().replace("_", " ").strip(): head for head in table.heads}
    tasks = [task.name.replace("_", " ").lower() for task in board.tasks]
    losses = [next((plain[t] for t in (f"{n} loss", f"{n}/loss", n, f"loss {n}") if t in plain), "") for n in tasks]
    weights = [next((plain[t] for t in (f"λ {n}", f"lambda {n}", f"weight {n}") if t in plain), "") for n in tasks]
    metrics = {
        k: plain[label.lower()] for k, label in labels.items() if not k.endswith("/loss") and label.lower() in plain
    }
    first = [next((plain[word] for word in words if word in plain), "") for words in (NAMES, SEEDS)]
    return Meaning(tuple(losses), tuple(weights) if all(weights) else (), first[0], first[1], metrics)


def fronts(table: Table, meaning: Meaning, board: Leaderboard) -> list[EvaluatedModel]:
    """A run per name and seed; without columns of λ a run per row.

    Raises:
        UserError: an objective without a column, or a cell that is no number, in a sentence with its row.
    """
    count = len(board.tasks)
    for task, column in zip(board.tasks, meaning.losses):
        if column not in table.heads:
            raise UserError(
                f"Say which column holds the loss of {task.name}; {quoted(table.name)} cannot be drawn without."
            )
    if len(set(meaning.losses)) < count:
        raise UserError("Two objectives have the same column; give each its own.")
    groups: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(table.rows):
        name, seed = row.get(meaning.name, ""), row.get(meaning.seed, "")
        alone = "" if meaning.weights else f"{place + 1}"
        groups.setdefault((name or (f"row {alone}" if alone else ""), f"{seed}/{alone}"), []).append(place)
    return [_front(table, meaning, board, name, places) for (name, _), places in groups.items()]


def _front(table: Table, meaning: Meaning, board: Leaderboard, name: str, places: Sequence[int]) -> EvaluatedModel:
    count = len(board.tasks)
    rows = [table.rows[place] for place in places]

    def column(head: str) -> list[float]:
        return [_number(table, head, place) for place in places]

    weights = [column(head) for head in meaning.weights] or [[1 / count] * len(rows)] * count
    objectives = np.array([column(head) for head in meaning.losses]).T
    metrics = {
        key: np.array(column(head)) / meaning.factors.get(key, 1.0)
        for key, head in meaning.metrics.items()
        if all(row[head] for row in rows)
    }
    tasks, about = tuple(task.name for task in board.tasks), {"split": "as in the file"}
    front = Front(np.array(weights).T, objectives, metrics, tasks, board.reference, about)
    used = {*meaning.losses, *meaning.weights, *meaning.metrics.values(), meaning.name, meaning.seed, "point"}
    told = {head: _setting(rows[0][head]) for head in table.heads if head not in used and rows[0][head]}
    told = {head: value for head, value in told.items() if len({row[head] for row in rows}) == 1}
    seed = rows[0].get(meaning.seed, "")
    card: dict[str, Any] = {"method": {"name": ADDED}, "training": {"seed": int(seed) if seed.isdecimal() else None}}
    title = name or table.name
    place = "" if not seed else f", seed {seed}"
    called = f"{title}{place}"
    return EvaluatedModel(f"{ADDED}{table.name} {places[0] + 1}", title, front, card, name=called, told=told)


def _number(table: Table, head: str, place: int) -> float:
    text = table.rows[place][head]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"Row {place + 1} of {quoted(table.name)} has {quoted(text)} as {head}; expected a number.")
    return value


def _setting(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text
