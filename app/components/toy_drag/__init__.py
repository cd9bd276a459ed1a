"""Two objectives in the plane as a component: drag a point and see its gradients and its place by the front.

All numbers come from Python as tables over a grid; the browser only interpolates, so what is drawn is what
:class:`app.analysis.toys.Bowls` computes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from app.analysis.toys import EXTENT, MINIMA, Bowls
from app.assets import loader
from app.components.training_figures import COLOURS

_HERE = Path(__file__).resolve().parent
GRID = 41


def toy_data(bowls: Bowls) -> dict[str, Any]:
    """Tables of objectives and gradients [GRID · GRID], rows along the second coordinate, and the known front."""
    ticks = np.linspace(-EXTENT, EXTENT, GRID)
    x = np.stack(np.meshgrid(ticks, ticks), axis=-1)
    return {
        "extent": EXTENT,
        "grid": GRID,
        "minima": MINIMA.tolist(),
        "objectives": bowls.objectives(x).reshape(-1, 2).round(5).tolist(),
        "gradients": bowls.gradients(x).reshape(-1, 4).round(5).tolist(),
        "front": bowls.front().round(5).tolist(),
        "top": float(np.ceil(10 * bowls.objectives(MINIMA).max() * 1.25) / 10),
        "colours": list(COLOURS[:2]),
        "concave": bowls.concave,
    }


def show_toy(key: str, data: dict[str, Any]) -> None:
    """Render it."""
    _component()(key=key, data=data)


@cache
def _component() -> Any:
    import streamlit as st

    html, css = ((_HERE / f"toy.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    return st.components.v2.component(
        "palora_toy", html=html, css=css, js=loader("toy_drag/main.js"), isolate_styles=False
    )
