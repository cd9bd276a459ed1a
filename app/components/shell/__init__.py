"""What all pages need of the browser: a way past the sidebar, and popovers that take the keyboard along."""

from __future__ import annotations

from functools import cache
from typing import Any

from app.assets import loader


def shell() -> None:
    """Render it; it takes no room."""
    _component()(key="shell")


@cache
def _component() -> Any:
    import streamlit as st

    return st.components.v2.component("palora_shell", html="<div></div>", js=loader("shell/main.js"))
