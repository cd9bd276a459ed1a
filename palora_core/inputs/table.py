"""Rows of a table, with or without names of the columns."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from palora_core.errors import UserError, quoted
from palora_core.inputs._handover import Preprocessing
from palora_core.inputs.base import MOST_BYTES, Input, inputs, one_input


@inputs.register("table")
@dataclass(frozen=True)
class Table(Input):
    """A row of numbers, shown by the names of its columns; the network reads [B, F].

    Args:
        columns: Names of the F columns; () where they have none: then nobody can send a row.
        mean: Per column, in people's units; the network reads (value − mean) / deviation. 0 if ().
        deviation: Per column; 1 if ().
    """

    columns: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("mean", "deviation"):
            given = getattr(self, name)
            if given and len(given) != len(self.columns):
                raise UserError(f"{name} has {len(given)} numbers for {len(self.columns)} columns.")
        if not all(self.deviation):
            raise UserError("deviation has a 0; a column is divided by it.")

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of tables in text form, where the columns have names."""
        return ("csv",) if self.columns else ()

    def read(self, data: bytes) -> dict[str, float]:
        """The first row below the head of a CSV file, by column; columns may come in any order, further ones are left.

        Raises:
            UserError: too large, no text, no row, a column that is missing, or what is no finite number.
        """
        if not self.columns:
            raise self._refusal()
        row = first_row(data, self.columns)
        return {name: _number(name, row[name]) for name in self.columns}

    def takes(self, shown: Any) -> bool:
        """Whether it has a number for every column."""
        return isinstance(shown, Mapping) and bool(self.columns) and set(self.columns) <= set(shown)

    def to_input(self, shown: Mapping[str, float]) -> Tensor:
        """A batch of one row, [1, F]."""
        row = torch.tensor([[float(shown[name]) for name in self.columns]])
        moved = row - torch.tensor(self.mean) if self.mean else row
        return moved / torch.tensor(self.deviation) if self.deviation else moved

    def to_file(self, shown: Mapping[str, float]) -> bytes:
        """A CSV file of a head and this row."""
        return as_csv({name: shown[name] for name in self.columns})

    def preprocessing(self) -> Preprocessing | None:
        """Columns, mean and deviation; None where columns have no names."""
        if not self.columns:
            return None
        count = len(self.columns)
        mean, deviation = self.mean or (0.0,) * count, self.deviation or (1.0,) * count
        return Preprocessing(
            "csv",
            {"columns": list(self.columns), "mean": list(mean), "deviation": list(deviation)},
            (
                'row = next(csv.DictReader(open(path, encoding="utf-8-sig", newline="")))',
                'x = np.array([float(row[name]) for name in form["columns"]])',
                'inputs = {"input": ((x - form["mean"]) / form["deviation"])[None].astype("f4")}',
            ),
            ("csv",),
            f"The first row below the head of a CSV file with {count} columns; (value − mean) / deviation of each.",
        )

    def to_shown(self, x: Any) -> dict[str, float]:
        """Numbers in people's units by column; ``"x1"``, … where the columns have no names."""
        row = one_input(torch.as_tensor(x), 1).double().cpu()
        names = self.columns or tuple(f"x{i + 1}" for i in range(len(row)))
        if len(names) != len(row):
            raise UserError(f"An input has {len(row)} numbers for {len(names)} columns.")
        wide = row * torch.tensor(self.deviation).double() if self.deviation else row
        return dict(zip(names, (wide + torch.tensor(self.mean).double() if self.mean else wide).tolist()))


def as_csv(row: Mapping[str, Any]) -> bytes:
    """A CSV file of a head and one row; numbers as exactly as they are."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([list(row), list(row.values())])
    return text.getvalue().encode()


def first_row(data: bytes, columns: Sequence[str]) -> dict[str, str]:
    """The texts of the first row below the head of a CSV file; columns in any order, further ones left out.

    Raises:
        UserError: too large, no text, no row, or a column that is missing.
    """
    if len(data) > MOST_BYTES:
        raise UserError(f"The file has {len(data) / 2**20:.0f} MB, the limit is {MOST_BYTES // 2**20} MB.")
    try:
        row = next(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")), None)
    except (UnicodeDecodeError, csv.Error):
        raise UserError("This file is no table in text form (CSV, UTF-8); save it as one.") from None
    if row is None:
        raise UserError("The table has no row below its head; the head names the columns, the row is the input.")
    missing = [name for name in columns if row.get(name) is None]
    if missing:
        raise UserError(
            f"The table has no column {quoted(missing[0])}; this model reads {len(columns)} columns: "
            f"{', '.join(columns[:8])}{', …' if len(columns) > 8 else ''}."
        )
    return {name: row[name] for name in columns}


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"The column {quoted(name)} holds {quoted(text)}; expected a number.")
    return value
