"""The address of a view: what it says, and whether somebody has just followed a link (or Back) to another one.

The components in the browser write it, without an entry in the history, so that Back leads to the page before; Python
reads it. It counts when it has changed since it was last looked at; what a session was told to write is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

KEYS = ("model", "preference", "pinned", "sample")
_SEEN = "addresses_seen"
MOST_SEEN = 2  # what stood in the browser when this was last asked, and what it was told to write since


def followed() -> dict[str, str]:
    """What the address says, if somebody has come by it since this was last asked; {} otherwise."""
    present = {key: st.query_params[key] for key in KEYS if key in st.query_params}
    known = st.session_state.setdefault(_SEEN, [])
    fresh = present not in known
    known[:] = [present, *known[1:]]
    return present if fresh and "model" in present else {}


def told(address: Mapping[str, str]) -> dict[str, str]:
    """Note what the browser is told to write, and give it back."""
    known = st.session_state.setdefault(_SEEN, [])
    known[:] = [*known[:1], dict(address)][-MOST_SEEN:]
    return dict(address)


def written(preference: Sequence[float]) -> str:
    """λ [T] as the address has it: ``"0.3,0.7"``."""
    return ",".join(f"{value:g}" for value in preference)
