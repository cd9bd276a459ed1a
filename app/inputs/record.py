"""Records: named fields, each with a widget in Explore that changes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from app.inputs.base import InputView, input_views
from palora_core.inputs.record import Field


@input_views.register("record")
class RecordView(InputView):
    """A row by its fields, which can be changed where it is shown."""

    noun: ClassVar[str] = "row"
    icon: ClassVar[str] = ":material/edit_note:"
    flips: ClassVar[bool] = True
    foreign: ClassVar[bool] = False

    def told(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        """Field by field, in words and as widgets."""
        texts = [(name, f"{value:,}" if isinstance(value, int) else value) for name, value in shown.items()]
        return {
            "rows": [[_title(name), text] for name, text in texts],
            "fields": [self._widget(field, shown[field.name]) for field in self.input.fields],  # type: ignore[attr-defined]
        }

    def edited(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A row with fields that a person changed.

        Raises:
            UserError: a field that is missing, or has a value that it cannot have.
        """
        missing = [field.name for field in self.input.fields if field.name not in values]  # type: ignore[attr-defined]
        if missing:
            return super().edited(values)
        found: dict[str, Any] = self.input.checked(values)  # type: ignore[attr-defined]
        return found

    def _widget(self, field: Field, value: Any) -> dict[str, Any]:
        """A choice among values, or a number within its ends; ``other``: the button that takes another value."""
        told: dict[str, Any] = {"name": field.name, "title": _title(field.name), "value": value}
        told |= {"values": list(field.values)} if field.values else {"low": field.low, "high": field.high}
        if field.name == self.input.counterfactual:  # type: ignore[attr-defined]
            told["other"] = f"Same person, other {field.name.replace('-', ' ')}"
        return told


def _title(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").capitalize()
