"""A table of figures whose headings sort it, the best first; the best of every column is bold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from app.assets import loader
from app.components.front_table import Cell, Column, Row, best
from app.library.series import Series

_HERE = Path(__file__).resolve().parent
ARROWS = {1: "↑", -1: "↓", 0: ""}


def table_data(
    series: Sequence[Series], colours: Sequence[str], wanted: Sequence[Column], table: Sequence[Row]
) -> dict[str, Any]:
    """What the browser is told: columns with their directions, and a row per method with numbers and their texts."""
    winners = {column.key: best(column, table) for column in wanted}
    columns = [{"heading": c.heading, "arrow": ARROWS[c.better], "better": c.better, "help": c.help} for c in wanted]
    rows = [
        {
            "name": one.name,
            "colour": colour,
            "seeds": len(one.members),
            "cells": [_cell(row[c.key], c, number in winners[c.key]) for c in wanted],
        }
        for number, (one, colour, row) in enumerate(zip(series, colours, table))
    ]
    return {"columns": columns, "rows": rows}


def show_table(key: str, data: dict[str, Any]) -> None:
    """Render it, sorted by its first column to begin with."""
    _component()(key=key, data=data)


def _cell(value: Cell | None, column: Column, wins: bool) -> dict[str, Any] | None:
    if value is None:
        return None
    spread = f"± {value.std:,.{column.decimals}f}" if value.std else ""
    return {"value": value.mean, "text": f"{value.mean:,.{column.decimals}f}", "spread": spread, "best": wins}


@cache
def _component() -> Any:
    html, css = ((_HERE / f"table.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    return st.components.v2.component(
        "palora_table", html=html, css=css, js=loader("sortable_table/main.js"), isolate_styles=False
    )
