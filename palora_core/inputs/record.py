"""Records: named fields of a row, numbers and choices among named values, that become the features of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.errors import UserError, quoted
from palora_core.inputs._handover import Preprocessing
from palora_core.inputs.base import Input, inputs, one_input
from palora_core.inputs.table import as_csv, first_row


@dataclass(frozen=True)
class Scale:
    """A number as a feature: (value − mean) / deviation, of the value itself or of log(1 + value)."""

    mean: float = 0.0
    deviation: float = 1.0
    logarithm: bool = False

    def apply(self, value: Tensor) -> Tensor:
        """Features of values, [B]."""
        return ((value.float().log1p() if self.logarithm else value.float()) - self.mean) / self.deviation

    def invert(self, feature: Tensor) -> Tensor:
        """The value of a feature."""
        value = feature.double() * self.deviation + self.mean
        return value.expm1() if self.logarithm else value


@dataclass(frozen=True)
class Field:
    """One field of a record, stored as a whole number: the number itself, or which of its values it is.

    Attributes:
        name: what it is called.
        values: names of the values; () for a number.
        low: smallest number, or 0.
        high: largest number, or that of the last value.
        scales: how the number (or the place of the value) is a feature, perhaps several times; a choice is one feature
            per value besides.
    """

    name: str
    values: tuple[str, ...] = ()
    low: int = 0
    high: int = 0
    scales: tuple[Scale, ...] = ()

    @property
    def width(self) -> int:
        """How many features it is."""
        return len(self.values) + len(self.scales)

    def encode(self, codes: Tensor) -> Tensor:
        """Features [B, width] of codes [B].

        Raises:
            UserError: a code that no value has.
        """
        if self.values and codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < len(self.values):
            raise UserError(f"A row has a code for {self.name} that is none of its {len(self.values)} values.")
        choices = F.one_hot(codes, len(self.values)).float() if self.values else codes.new_zeros(len(codes), 0).float()
        return torch.cat([choices, *(scale.apply(codes)[:, None] for scale in self.scales)], 1)

    def decode(self, features: Tensor) -> int:
        """The code of features [width]."""
        if self.values:
            return int(features[: len(self.values)].argmax())
        return round(float(self.scales[0].invert(features[0])))

    def shown(self, code: int) -> str | int:
        """The name of a value, or the number."""
        return self.values[code] if self.values else code

    def code(self, shown: Any) -> int:
        """The code of what a person gives.

        Raises:
            UserError: none of the values, or no whole number within the ends.
        """
        text = str(shown).strip()
        if self.values:
            if text not in self.values:
                known = ", ".join(self.values[:8]) + (", …" if len(self.values) > 8 else "")
                raise UserError(f"The field {self.name} is {quoted(text)}; expected one of {known}.")
            return self.values.index(text)
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not (self.low <= number <= self.high and number == int(number)):
            raise UserError(
                f"The field {self.name} is {quoted(text)}; expected a whole number from {self.low:,} to {self.high:,}."
            )
        return int(number)


@inputs.register("record")
@dataclass(frozen=True)
class Record(Input):
    """A record, shown by the names of its fields and values; the network reads [B, F].

    Args:
        fields: in the order of the features.
        counterfactual: the field of which people may want to see another value in the same record ("same person, other
            sex"); "" for none.
    """

    fields: tuple[Field, ...]
    counterfactual: str = ""

    def __post_init__(self) -> None:
        choices = [field.name for field in self.fields if len(field.values) > 1]
        if self.counterfactual and self.counterfactual not in choices:
            raise UserError(
                f"counterfactual is {self.counterfactual!r}; expected a field with several values, one of "
                f"{', '.join(choices)}."
            )

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of tables in text form."""
        return ("csv",)

    @property
    def width(self) -> int:
        """F."""
        return sum(field.width for field in self.fields)

    def encode(self, codes: Tensor) -> Tensor:
        """Rows of codes [B, fields] → network inputs float32 [B, F]."""
        return torch.cat([field.encode(column) for field, column in zip(self.fields, codes.long().unbind(1))], 1)

    def read(self, data: bytes) -> dict[str, str | int]:
        """The first row below the head of a CSV file, by field.

        Raises:
            UserError: no such table, or a field with a value that it cannot have.
        """
        return self.checked(first_row(data, tuple(field.name for field in self.fields)))

    def takes(self, shown: Any) -> bool:
        """Whether every field is there with a value that it can have."""
        if not isinstance(shown, Mapping) or not {field.name for field in self.fields} <= set(shown):
            return False
        try:
            self.checked(shown)
        except UserError:
            return False
        return True

    def to_input(self, shown: Mapping[str, Any]) -> Tensor:
        """A batch of one record, [1, F]."""
        return self.encode(torch.tensor([[field.code(shown[field.name]) for field in self.fields]]))

    def to_file(self, shown: Mapping[str, Any]) -> bytes:
        """A CSV file of a head and this record."""
        return as_csv({field.name: shown[field.name] for field in self.fields})

    def preprocessing(self) -> Preprocessing:
        """The fields in the order of the features, their values and scales."""
        return Preprocessing(
            "csv",
            {"fields": [asdict(field) for field in self.fields]},
            (
                'row, x = next(csv.DictReader(open(path, encoding="utf-8-sig", newline=""))), []',
                'scaled = lambda v, s: ((np.log1p(v) if s["logarithm"] else v) - s["mean"]) / s["deviation"]',
                'for f in form["fields"]:',
                '    code = f["values"].index(row[f["name"]].strip()) if f["values"] else float(row[f["name"]])',
                '    x += [code == i for i in range(len(f["values"]))] + [scaled(code, s) for s in f["scales"]]',
                'inputs = {"input": np.array([x], "f4")}',
            ),
            ("csv",),
            "The first row below the head of a CSV file. A field with values is one feature per value, 1 for the one "
            "it has; a number (or the place of the value) is (number − mean) / deviation once per scale, of "
            "log(1 + number) where the scale is logarithmic.",
        )

    def to_shown(self, x: Any) -> dict[str, str | int]:
        """Values by field."""
        parts = one_input(torch.as_tensor(x), 1).cpu().split([field.width for field in self.fields])
        return {field.name: field.shown(field.decode(part)) for field, part in zip(self.fields, parts)}

    def checked(self, shown: Mapping[str, Any]) -> dict[str, str | int]:
        """A record by field, as people see it, from what a person gives.

        Raises:
            UserError: a field with a value that it cannot have.
        """
        return {field.name: field.shown(field.code(shown[field.name])) for field in self.fields}
