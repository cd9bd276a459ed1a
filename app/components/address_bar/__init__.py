"""The address of a view: what it says, and whether somebody has just come by a link (or Back) to another one.

The browser writes it, without an entry in the history, so that Back leads to the page before; Python reads it. It
counts when it has changed since it was last asked for; what a page had the browser write is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import streamlit as st

from app.assets import loader


def followed(view: str, keys: Sequence[str]) -> dict[str, str]:
    """What the address says, if somebody has come by it since this was last asked; {} otherwise.

    Args:
        view: whose address it is; pages may share one.
        keys: the parameters that belong to it.
    """
    present = {key: st.query_params[key] for key in keys if key in st.query_params}
    known = _known(view)
    fresh = bool(present) and present not in known
    known[0] = present
    return dict(present) if fresh else {}


def told(view: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Note what a component of the page has the browser write, and give it back."""
    _known(view)[1] = dict(parameters)
    return dict(parameters)


def show_address(page: str, parameters: Mapping[str, str]) -> None:
    """Have the browser write ``parameters`` behind the path of ``page`` where no other component does; once per run."""
    data = {"page": page, "parameters": told(page, parameters)}
    _component()(key=f"{page} address", data=data, height=1)


def _known(view: str) -> list[dict[str, str]]:
    """What stood in the browser when last asked, and what it was told to write."""
    known: list[dict[str, str]] = st.session_state.setdefault(f"{view} addresses", [{}, {}])
    return known


@cache
def _component() -> Any:
    html = '<span class="address" hidden></span>'
    return st.components.v2.component("palora_address", html=html, js=loader("address_bar/main.js"))
