"""Adult (the 1994 census): 15 columns to 93 features and two labels."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from palora_core.errors import UserError
from palora_core.preparation._read import find, stamp
from palora_core.preparation._shards import Part
from palora_core.preparation._tabular import Columns, Encoding, read_columns
from palora_core.preparation.base import Piece, Plan, Preparer, count_note, preparers

FEATURES = 93
OFFICIAL = {"train": 32_561, "test": 16_281}
_NAMES = """
age workclass fnlwgt education education-num marital-status occupation relationship race sex capital-gain capital-loss
hours-per-week native-country income
"""
COLUMNS = tuple(_NAMES.split())
CONTINUOUS = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CATEGORICAL = ("workclass", "education", "occupation", "race", "native-country")
BINARY = ("sex",)
# fnlwgt is a sampling weight; marital-status and income are the labels, and relationship (husband, wife, …) gives the
# first of them away.
NAMES = {"train": ("adult.data", "adult.csv", "adult.data.gz"), "test": ("adult.test", "adult.test.gz")}
FIELDS = {"features": ((FEATURES,), "float32"), "income": ((), "int8"), "never_married": ((), "int8")}
INCOMES = {"<=50K": 0, ">50K": 1}
TEST_SHARE, SEED = 1 / 3, 0


@dataclass(frozen=True)
class Table:
    """Rows of one part; picklable.

    Attributes:
        files: the training file and, where there is one, the test file.
        part: ``train`` or ``test``.
    """

    files: tuple[Path, ...]
    part: str

    def __call__(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Rows first … last - 1."""
        table = read(self.files)[self.part].take(np.arange(first, last))
        married = table.columns[COLUMNS.index("marital-status")]
        return {
            "features": encoding(self.files).apply(table, FEATURES),
            "income": np.array([_income(table, i) for i in range(len(table))], np.int8),
            "never_married": np.array([status == "Never-married" for status in married], np.int8),
        }

    def sources(self, index: int) -> tuple[Path, ...]:
        """All files: they share one encoding."""
        return self.files


def _income(table: Columns, row: int) -> int:
    value = table.columns[-1][row].rstrip(".")
    if value not in INCOMES:
        line = table.lines[row]
        raise UserError(f"{table.path}, line {line}: income is {table.columns[-1][row]!r}, expected <=50K or >50K.")
    return INCOMES[value]


def read(files: tuple[Path, ...]) -> dict[str, Columns]:
    """The parts; without a test file, a third of the rows, drawn with a fixed seed, are the test part."""
    return _read(files, tuple(stamp(path) for path in files))[0]


def encoding(files: tuple[Path, ...]) -> Encoding:
    """Fitted on the training rows."""
    return _read(files, tuple(stamp(path) for path in files))[1]


@functools.lru_cache(maxsize=1)
def _read(files: tuple[Path, ...], _: Any) -> tuple[dict[str, Columns], Encoding]:
    tables = [read_columns(path, len(COLUMNS), lambda row: row[0].lower() == "age") for path in files]
    train, test = tables if len(tables) == 2 else _divided(tables[0])
    numbers, others, pairs = ([COLUMNS.index(name) for name in n] for n in (CONTINUOUS, CATEGORICAL, BINARY))
    return {"train": train, "test": test}, Encoding.fit(train, [test], numbers, others, pairs, FEATURES)


def _divided(table: Columns) -> tuple[Columns, Columns]:
    if len(table) < 3:
        raise UserError(f"{table.path} holds {len(table)} rows, expected at least 3.")
    order = np.random.default_rng(SEED).permutation(len(table))
    cut = max(1, round(len(table) * TEST_SHARE))
    return table.take(np.sort(order[cut:])), table.take(np.sort(order[:cut]))


@preparers.register("adult")
class Adult(Preparer):
    """``adult.data`` and ``adult.test`` as UCI has them, or one ``adult.csv`` with a header."""

    name: ClassVar[str] = "adult"
    title: ClassVar[str] = "Adult (census 1994)"
    site: ClassVar[str] = "https://archive.ics.uci.edu/dataset/2/adult"
    licence: ClassVar[str] = "CC BY 4.0"
    pieces: ClassVar[tuple[Piece, ...]] = (
        Piece("adult.data or adult.csv", NAMES["train"], "the site's adult.zip"),
        Piece("adult.test", NAMES["test"], "the site's adult.zip", True),
    )

    def plan(self, source: Path) -> Plan:
        """Parts ``train`` and ``test``."""
        train, test = (find(source, *names) for names in NAMES.values())
        if train is None:
            raise UserError(f"There is neither adult.data nor adult.csv below {source}. {self.where()}")
        files = (train,) if test is None else (train, test)
        tables, width = read(files), encoding(files).width
        parts = []
        for part, columns in tables.items():
            table = Table(files, part)
            parts.append(Part(part, len(columns), FIELDS, table, table.sources, 1 << 20, str(len(files))))
        notes = [n for part in parts for n in count_note(f"{part.name} rows", part.count, OFFICIAL[part.name])]
        if test is None:
            notes = [f"note: no adult.test, so a third of {train.name} is the test part (fixed seed)."]
        if width < FEATURES:
            notes.append(f"note: {width} different features, the full release has {FEATURES}; the rest is zero.")
        return Plan("the UCI files" if test else "one table", tuple(parts), tuple(notes))
