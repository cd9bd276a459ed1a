"""What every step has: its text, figures that are told in words, and the code behind it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.learn.figures import BARE
from app.settings import ROOT

LESSONS = ROOT / "app" / "lessons"


def lesson(file: str) -> None:
    """The text of a step."""
    st.markdown((LESSONS / file).read_text(encoding="utf-8"))


def code(*shown: Any) -> None:
    """What was at work on this page: file and source of functions and classes."""
    with st.expander("The code behind this step", icon=":material/code:"):
        for item in shown:
            path = Path(inspect.getsourcefile(item) or "")
            depth = item.__module__.count(".") + 1 + (path.name == "__init__.py")
            lines, first = inspect.getsourcelines(item)
            st.caption(f"`{'/'.join(path.parts[-depth:])}`, line {first}")
            st.code("".join(lines), language="python")


def figure(chart: Any, key: str, told: str) -> None:
    """A figure, and in words what it shows."""
    st.plotly_chart(chart, key=key, config=BARE, alt=told)


def text_and_figure(file: str, controls: int = 0) -> tuple[Any, ...]:
    """The text in a column, and the column beside it; in that one, places for a row of controls come first."""
    left, right = st.columns([1, 1.9], gap="large")
    with left:
        lesson(file)
    return (right, *right.columns(controls, gap="medium")) if controls else (right,)
