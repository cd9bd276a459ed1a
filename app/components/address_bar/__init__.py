"""The address of a page's view: read when somebody came by a link (or Back), written beside the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import streamlit as st

from app.assets import loader


def linked(page: str, keys: Sequence[str]) -> dict[str, str]:
    """What the address says, if somebody has come by it since this was last asked; {} otherwise.

    Args:
        page: where it is asked, the last part of the page's path.
        keys: the parameters that are of the page.
    """
    present = {key: st.query_params[key] for key in keys if key in st.query_params}
    known: list[dict[str, str]] = st.session_state.setdefault(f"{page} addresses", [])
    fresh = bool(present) and present not in known
    known[:1] = [present]
    return dict(present) if fresh else {}


def show_address(page: str, parameters: Mapping[str, str]) -> None:
    """Have the browser write ``parameters`` behind the path of ``page``; a page shows this once per run."""
    known: list[dict[str, str]] = st.session_state.setdefault(f"{page} addresses", [{}])
    known[1:] = [dict(parameters)]
    _component()(key=f"{page} address", data={"page": page, "parameters": dict(parameters)}, height=1)


@cache
def _component() -> Any:
    html = '<span class="address" hidden></span>'
    return st.components.v2.component("palora_address", html=html, js=loader("address_bar/main.js"))
