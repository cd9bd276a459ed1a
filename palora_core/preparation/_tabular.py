"""Tables of text columns to numbers: standardised columns, then one column per value of each category."""

from __future__ import annotations

import csv
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from palora_core.errors import UserError


@dataclass(frozen=True)
class Encoding:
    """How rows become features; ``fit`` on the training rows (categories on all rows).

    Attributes:
        continuous: positions of the columns that are standardised.
        categorical: positions of the columns with one feature per value.
        binary: positions of the columns with two values, as 0 or 1.
        mean: of each continuous column.
        deviation: of each continuous column; 1 where it is constant.
        values: of each categorical column, in order.
        pairs: of each binary column, in order.
    """

    continuous: tuple[int, ...]
    categorical: tuple[int, ...]
    binary: tuple[int, ...]
    mean: np.ndarray
    deviation: np.ndarray
    values: tuple[tuple[str, ...], ...]
    pairs: tuple[tuple[str, ...], ...]

    @staticmethod
    def fit(
        train: Columns,
        others: Sequence[Columns],
        continuous: Sequence[int],
        categorical: Sequence[int],
        binary: Sequence[int],
        most: int,
    ) -> Encoding:
        """Statistics of ``train``, categories of all; refused where they make more than ``most`` features."""
        numbers = [train.numbers(i) for i in continuous]
        deviation = np.array([column.std() for column in numbers])
        every = (train, *others)
        values, pairs = (
            tuple(tuple(sorted({v for table in every for v in set(table.columns[i])})) for i in wanted)
            for wanted in (categorical, binary)
        )
        for i, pair in zip(binary, pairs):
            if len(pair) > 2:
                raise UserError(f"{train.path}: column {i + 1} has {len(pair)} different values, expected two.")
        mean = np.array([column.mean() for column in numbers])
        columns = tuple(continuous), tuple(categorical), tuple(binary)
        fitted = Encoding(*columns, mean, np.where(deviation > 0, deviation, 1), values, pairs)
        if fitted.width > most:
            raise UserError(
                f"{train.path} gives {fitted.width} features, expected {most}: its columns hold other values."
            )
        return fitted

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.continuous) + sum(map(len, self.values)) + len(self.binary)

    def apply(self, table: Columns, width: int) -> np.ndarray:
        """Features float32 [N, width]: continuous, one per value, binary, then zeros where values never occur."""
        result = np.zeros((len(table), width), np.float32)
        for place, i in enumerate(self.continuous):
            result[:, place] = (table.numbers(i) - self.mean[place]) / self.deviation[place]
        start = len(self.continuous)
        rows = np.arange(len(table))
        for i, values in zip(self.categorical, self.values):
            codes = {value: code for code, value in enumerate(values)}
            result[rows, start + np.array([codes[value] for value in table.columns[i]], int)] = 1
            start += len(values)
        for i, pair in zip(self.binary, self.pairs):
            result[:, start] = [value == pair[-1] and len(pair) == 2 for value in table.columns[i]]
            start += 1
        return result


@dataclass(frozen=True)
class Columns:
    """A table of text by columns; equal values share memory.

    Attributes:
        path: where it is from.
        columns: one list per column.
        lines: line number of each row.
    """

    path: Path
    columns: list[list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def numbers(self, column: int) -> np.ndarray:
        """One column as float64 [N]."""
        try:
            numbers = np.array(self.columns[column], np.float64)
        except ValueError:
            bad = next(i for i, value in enumerate(self.columns[column]) if not _is_number(value))
            raise UserError(
                f"{self.path}, line {self.lines[bad]}: column {column + 1} is {self.columns[column][bad]!r}, expected "
                "a number."
            ) from None
        if not np.isfinite(numbers).all():
            bad = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise UserError(f"{self.path}, line {self.lines[bad]}: column {column + 1} is not finite.")
        return numbers

    def where(self, keep: np.ndarray) -> Columns:
        """The rows for which ``keep`` [N] is true."""
        index = np.flatnonzero(keep)
        return Columns(self.path, [[c[i] for i in index] for c in self.columns], [self.lines[i] for i in index])

    def take(self, index: np.ndarray) -> Columns:
        """The rows ``index``."""
        return Columns(self.path, [[c[i] for i in index] for c in self.columns], [self.lines[i] for i in index])


def read_columns(path: Path, width: int, header: Callable[[list[str]], bool] = lambda row: False) -> Columns:
    """A comma-separated file, gzipped or not; values stripped, a final full stop included, ``|`` lines left out.

    Args:
        path: the file.
        width: number of columns.
        header: whether a first row is no data.

    Raises:
        UserError: truncated, no text, a row of another width, or no rows.
    """
    columns: list[list[str]] = [[] for _ in range(width)]
    lines = []
    for number, row in _rows(path):
        row = [value.strip() for value in row]
        if not any(row) or row[0].startswith("|") or (number == 1 and header(row)):
            continue
        if len(row) != width:
            raise UserError(
                f"{path}, line {number}: {len(row)} values, expected {width}; it is damaged or another file."
            )
        for column, value in zip(columns, row):
            column.append(sys.intern(value))
        lines.append(number)
    if not lines:
        raise UserError(f"{path} holds no rows.")
    return Columns(path, columns, lines)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                yield reader.line_num, row
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise UserError(f"{path} is damaged or not a text table ({error}); download it again.") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
