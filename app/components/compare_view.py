"""What is looked at on the Compare page, as its address says it: read from links, kept while one is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import streamlit as st

from app.components import address_bar

PAGE = "compare"
PARAMETERS = (
    *("benchmark", "models", "published", "axes", "view", "coloured", "hypervolume", "against"),
    *("first", "second", "sample", "preference"),
    *("show", "find", "group", "columns", "brush"),
)
METHODS, RUNS = "Methods", "Runs"
_LINK, _TOLD = "compare link", "compare told"
Value = TypeVar("Value")


def begin() -> None:
    """At the top of the page: see whether somebody came by a link."""
    found = address_bar.followed(PAGE, PARAMETERS)
    if found:
        st.session_state[_LINK] = found
    st.session_state[_TOLD] = {}


def end() -> None:
    """At the end of the page and of every part of it that is drawn by itself: have the address say what is shown."""
    address_bar.show_address(PAGE, st.session_state.get(_TOLD, {}))


def asked(name: str) -> str | None:
    """What a link that was just followed says of a parameter; once."""
    link: dict[str, str] = st.session_state.get(_LINK, {})
    return link.pop(name, None)


def restore(name: str, key: str, options: Sequence[Value], read: Callable[[str], Any] = str) -> None:
    """Before a widget: what a link asks for goes into its state, and nothing that is no option stays there."""
    wanted = asked(name)
    if wanted is not None and read(wanted) in options:
        st.session_state[key] = read(wanted)
    elif key in st.session_state and st.session_state[key] not in options:
        del st.session_state[key]


def tell(name: str, value: Any, usual: Any = None) -> None:
    """After a widget: its value is part of the address, unless it is the usual one."""
    told: dict[str, str] = st.session_state.setdefault(_TOLD, {})
    told.pop(name, None)
    if value is not None and value != usual:
        told[name] = str(value)


def models_text(models: Sequence[str]) -> str:
    """Model ids as one parameter."""
    return ",".join(quote(model, safe=":/ ") for model in models)


def models_of(text: str) -> list[str]:
    """The model ids in a parameter."""
    return [unquote(part) for part in text.split(",") if part]


def section() -> str:
    """Whether methods are compared, seeds together, or single runs with all their settings."""
    restore("show", "compare_section", [METHODS, RUNS])
    st.session_state.setdefault("compare_section", METHODS)
    chosen = st.segmented_control(
        "Compare", [METHODS, RUNS], key="compare_section", label_visibility="collapsed", persist_state="session"
    )
    tell("show", chosen or METHODS, METHODS)
    return chosen or METHODS
