"""Rows of a table: numbers by the names of their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from app.inputs.base import MOST_ROWS, InputView, input_views


@input_views.register("table")
class TableView(InputView):
    """A row, sent as a CSV file with the names of the columns in its first line."""

    noun: ClassVar[str] = "row"
    icon: ClassVar[str] = ":material/table_rows:"
    flips: ClassVar[bool] = True
    foreign: ClassVar[bool] = False

    def told(self, shown: Mapping[str, float]) -> dict[str, Any]:
        """Column by column; of very many the first."""
        rows = [[name, f"{value:.4g}"] for name, value in list(shown.items())[:MOST_ROWS]]
        more = len(shown) - len(rows)
        return {"rows": rows + ([["", f"and {more:,} more"]] if more else [])}
