"""An axis for each setting and figure, a line for each run; dragging along an axis keeps the runs in that part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from app.assets import loader
from app.library.lab import Lab, Range, headings, text

_HERE = Path(__file__).resolve().parent
MOST_LINES = 400
UNKNOWN = "–"


def parallel_data(
    lab: Lab, axes: Sequence[str], colours: Mapping[str, str], found: Sequence[str], brush: Mapping[str, Range]
) -> dict[str, Any]:
    """What the browser is told.

    Args:
        lab: the runs.
        axes: in their order.
        colours: by model id; runs without one stay grey.
        found: ids of the runs that the search leaves.
        brush: what is kept, by axis.
    """
    shown = [one for one in lab.models if one.id in set(found)][:MOST_LINES]
    told = headings(axes)
    lines = [
        {
            "name": lab.names[one.id],
            "colour": colours.get(one.id, ""),
            "values": [_told(lab, axis, one.id) for axis in axes],
        }
        for one in shown
    ]
    places = [
        {"key": axis, "label": told[axis], "number": lab.is_number(axis), "range": _ends(lab, axis)} for axis in axes
    ]
    kept = {axis: sorted(part) if isinstance(part, frozenset) else list(part) for axis, part in brush.items()}
    return {"axes": places, "lines": lines, "brush": kept}


def show_parallel(key: str, data: dict[str, Any]) -> Any:
    """Render it; what the person keeps, by axis, or None if nobody has dragged yet."""
    return _component()(key=key, data=data, on_brush_change=lambda: None).get("brush")


def _told(lab: Lab, axis: str, model: str) -> Any:
    value = lab.values(axis)[model]
    return value if lab.is_number(axis) else text(value)


def _ends(lab: Lab, axis: str) -> list[Any]:
    """The ends of an axis of numbers, or all texts of another one; of all runs, so that a search moves no axis."""
    values = lab.values(axis).values()
    if not lab.is_number(axis):
        return sorted({text(value) for value in values})
    known = [value for value in values if isinstance(value, float)]
    return [min(known), max(known)] if known else [0.0, 1.0]


@cache
def _component() -> Any:
    html, css = ((_HERE / f"parallel.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    return st.components.v2.component(
        "palora_parallel", html=html, css=css, js=loader("parallel/main.js"), isolate_styles=False
    )
