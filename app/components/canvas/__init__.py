"""A canvas to draw on with mouse, finger or pen: white strokes on black, sent as a picture when the person says so."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from app.assets import loader

_HERE = Path(__file__).resolve().parent
_START = "data:image/png;base64,"
Mark = tuple[float, float, float, float]


def canvas(key: str, marks: Sequence[Mark] = ()) -> bytes | None:
    """Render it; the PNG that was sent last, or None.

    Args:
        key: of the component.
        marks: places to draw in, shown as frames: left, top, width and height as shares of the canvas.
    """
    result = _component()(key=key, data={"marks": [list(mark) for mark in marks]}, on_drawn_change=lambda: None)
    return as_png(result.get("drawn"))


def as_png(drawn: object) -> bytes | None:
    """The file in what the browser says it has drawn; None where it is none."""
    if not isinstance(drawn, str) or not drawn.startswith(_START):
        return None
    try:
        return base64.b64decode(drawn.removeprefix(_START), validate=True)
    except binascii.Error:
        return None


@cache
def _component() -> Any:
    import streamlit as st

    html, css = ((_HERE / f"canvas.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    return st.components.v2.component(
        "palora_canvas", html=html, css=css, js=loader("canvas/main.js"), isolate_styles=False
    )
