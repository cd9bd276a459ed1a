"""Writes the address of a page's view where no other component does."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import streamlit as st

from app import links
from app.assets import loader


def show_address(page: str, parameters: Mapping[str, str]) -> None:
    """Have the browser write ``parameters`` behind the path of ``page``; a page shows this once per run."""
    told = links.told(page, parameters)
    _component()(key=f"{page} address", data={"page": page, "parameters": told}, height=1)


@cache
def _component() -> Any:
    html = '<span class="address" hidden></span>'
    return st.components.v2.component("palora_address", html=html, js=loader("address_bar/main.js"))
