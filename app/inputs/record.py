"""Records: a table of named fields, and a form with a widget for each."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, ClassVar

from app.components.plain import plain
from app.inputs.base import InputView, Sent, input_views
from palora_core.inputs.record import Field


@input_views.register("record")
class RecordView(InputView):
    """A row by its fields; one's own is filled in."""

    noun: ClassVar[str] = "row"
    icon: ClassVar[str] = ":material/edit_note:"

    def told(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        """Field by field."""
        texts = [(name, f"{value:,}" if isinstance(value, int) else value) for name, value in shown.items()]
        return {"rows": [[_title(name), text] for name, text in texts]}

    def send(self) -> Sent | None:
        """A widget per field: a choice among its values, or a number within its ends."""
        import streamlit as st

        with st.form("record", border=False):
            given = {field.name: _widget(field) for field in self.input.fields}  # type: ignore[attr-defined]
            if not st.form_submit_button("Show this row", type="primary", width="stretch"):
                return None
        text = io.StringIO()
        writer = csv.DictWriter(text, list(given))
        writer.writeheader()
        writer.writerow(given)
        return text.getvalue().encode(), "row.csv"


def _widget(field: Field) -> Any:
    import streamlit as st

    label = plain(_title(field.name))
    if field.values:
        return st.selectbox(label, field.values, key=f"record {field.name}")
    start = min(max(round(field.scales[0].mean), field.low), field.high)
    return st.number_input(label, field.low, field.high, start, 1, key=f"record {field.name}")


def _title(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").capitalize()
