"""The people of Adult as they travel with the project: one code per field and row, and how fields become features."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from palora_core.inputs.record import Field, Scale

COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income-per-year"),
)
# The years of schooling say the same as the name of the degree; the codes of the degrees are in their order.
SAME = "education-num"
# Numbers by mean and deviation over all rows, rounded; dollars are read twice, as they are and as log(1 + dollars).
SCALES = {
    "age": (Scale(38.6, 13.6),),
    "education": (Scale(9.1, 2.6),),  # a number too, beside its values
    "capital-gain": (Scale(1080.0, 7390.0), Scale(0.73, 2.46, True)),
    "capital-loss": (Scale(87.3, 403.0), Scale(0.36, 1.58, True)),
    "hours-per-week": (Scale(40.4, 12.3),),
}
NUMBERS = ("age", "fnlwgt", "capital-gain", "capital-loss", "hours-per-week")
ASSET = "adult.npz"


@dataclass(frozen=True)
class People:
    """Rows as codes.

    Attributes:
        fields: what the network sees, in the order of the columns of ``codes``.
        codes: int32 [N, fields].
        earns: whether a person earns more than 50,000 dollars a year, bool [N].
        weights: the census's sampling weight, int32 [N]; nothing learns from it.
    """

    fields: tuple[Field, ...]
    codes: np.ndarray
    earns: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def column(self, name: str) -> np.ndarray:
        """Codes of one field [N]."""
        return self.codes[:, self.place(name)]

    def place(self, name: str) -> int:
        """The column of a field."""
        return [field.name for field in self.fields].index(name)

    def is_one_of(self, name: str, value: str) -> np.ndarray:
        """Which people have a value in a field, bool [N]."""
        return self.column(name) == self.fields[self.place(name)].values.index(value)

    def lines(self) -> list[list[str]]:
        """The rows of the file, a header first."""
        shown = [self._texts(name) for name in COLUMNS]
        return [list(COLUMNS), *map(list, zip(*shown))]

    def _texts(self, name: str) -> list[str]:
        if name == "fnlwgt":
            return [str(value) for value in self.weights.tolist()]
        if name == COLUMNS[-1]:
            return [">50K" if earns else "<=50K" for earns in self.earns.tolist()]
        if name == SAME:
            return [str(code + 1) for code in self.column("education").tolist()]
        values, codes = self.fields[self.place(name)].values, self.column(name).tolist()
        return [values[code] for code in codes] if values else [str(code) for code in codes]


@lru_cache(maxsize=1)
def bundled() -> People:
    """The 32,561 people that travel with the project."""
    asset = resources.files("palora_core.benchmarks") / "assets" / ASSET
    with resources.as_file(asset) as path, np.load(path) as arrays:
        return _people(dict(arrays))


def pack(source: Path, target: Path) -> People:
    """Write ``adult.csv`` (a header, no spaces) as the asset that :func:`bundled` reads; a seventh of its size."""
    with source.open(newline="", encoding="utf-8") as file:
        rows = [[value.strip() for value in row] for row in csv.reader(file) if row]
    columns = dict(zip(COLUMNS, zip(*rows[1:])))
    arrays: dict[str, np.ndarray] = {}
    for name, texts in columns.items():
        if name in NUMBERS:
            arrays[name] = _small(np.array(texts, np.int64))
        elif name != SAME:
            values = sorted(set(texts))
            if name == "education":  # by years of schooling
                years = dict(zip(texts, map(int, columns[SAME])))
                values.sort(key=years.__getitem__)
            arrays[name] = _small(np.array([values.index(text) for text in texts]))
            arrays[f"{name}:values"] = np.array(values)
    with target.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return _people(arrays)


def _people(arrays: Mapping[str, np.ndarray]) -> People:
    names = [name for name in COLUMNS[:-1] if name not in ("fnlwgt", SAME)]
    codes = np.stack([arrays[name].astype(np.int32) for name in names], 1)
    values = [tuple(arrays.get(f"{name}:values", np.array([])).tolist()) for name in names]
    scales = [SCALES.get(name, ()) for name in names]
    described = zip(names, values, codes.min(0).tolist(), codes.max(0).tolist(), scales)
    label = COLUMNS[-1]
    earns = arrays[label] == arrays[f"{label}:values"].tolist().index(">50K")
    return People(tuple(Field(*one) for one in described), codes, earns, arrays["fnlwgt"].astype(np.int32))


def _small(values: np.ndarray) -> np.ndarray:
    """In the narrowest type that holds them."""
    return values.astype(np.min_scalar_type(int(values.max())))
