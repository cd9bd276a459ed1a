"""Buttons that save a figure as a picture for print: white ground, dark letters, the whole legend."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app.assets import loader

_HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 900, 560
PER_NAME = 22  # pixels of height that a line of a legend takes
LETTER = 7.2  # pixels of width, at 12 px
INK = "#1B2430"


def for_print(figure: go.Figure) -> go.Figure:
    """A copy of a figure whatever theme the page has: light, and large enough for all names of its legend."""
    copy = go.Figure(figure)
    names = [str(t.name) for t in copy.data if t.name and t.showlegend is not False] if _has_legend(copy) else []
    longest = max((len(part) for name in names for part in name.split("<br>")), default=0)
    copy.update_layout(
        template="plotly_white",
        paper_bgcolor="#FFFFFF",
        plot_bgcolor="#FFFFFF",
        font={"color": INK, "size": 13, "family": "Helvetica, Arial, sans-serif"},
        width=round(WIDTH + (60 + LETTER * longest if names else 0)),
        height=round(max(copy.layout.height or 0, HEIGHT, 120 + PER_NAME * len(names))),
        legend={"orientation": "v", "x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top", "font": {"size": 12}},
        margin={"l": 80, "r": 40, "t": 50, "b": 70},
    )
    copy.update_layout(updatemenus=[], sliders=[])
    return copy


def show_downloads(key: str, figure: go.Figure, filename: str) -> None:
    """The buttons for a figure; the browser draws it anew and keeps it as ``filename``.png or .svg."""
    spec = for_print(figure).to_json()
    _component()(key=key, data={"figure": spec, "filename": filename})


def _has_legend(figure: go.Figure) -> bool:
    return figure.layout.showlegend is not False


@cache
def _component() -> Any:
    html, css = ((_HERE / f"download.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    return st.components.v2.component(
        "palora_figure_download", html=html, css=css, js=loader("figure_download/main.js"), isolate_styles=False
    )
