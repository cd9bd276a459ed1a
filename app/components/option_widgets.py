"""Widgets for the options of a dataclass: its types, choices, defaults and docstrings are all there is to it."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Any

import streamlit as st

from app.jobs import FORBIDDEN_SETTINGS, as_text
from palora_core.config import Option, options

COLUMNS = 3


def option_widgets(
    config: Any, group: str, key: str, leave_out: Iterable[str] = (), columns: int = COLUMNS
) -> dict[str, Any]:
    """One widget per option of ``config``.

    Args:
        config: a dataclass (a benchmark, a method, training options).
        group: ``"benchmark"``, ``"method"`` or ``"training"``; goes before the names in the result.
        key: prefix of the widgets' keys.
        leave_out: names of options shown elsewhere.
        columns: widgets side by side.

    Returns:
        ``"group.path"`` → value, for the options that were changed.
    """
    hidden = {*leave_out, *FORBIDDEN_SETTINGS}
    shown = [option for option in options(config) if option.path not in hidden and option.name not in hidden]
    changed: dict[str, Any] = {}
    for start in range(0, len(shown), columns):
        for place, option in zip(st.columns(columns, vertical_alignment="bottom"), shown[start : start + columns]):
            with place:
                value = widget(option, f"{key}.{group}.{option.path}")
            if as_text(value) != as_text(option.value):
                changed[f"{group}.{option.path}"] = value
    return changed


def widget(option: Option, key: str) -> Any:
    """The widget that fits an option's type; returns its value, or text for the command-line parser."""
    label, about = option.name.replace("_", " "), sentence(option)
    if option.choices:
        choices = list(option.choices)
        return st.selectbox(label, choices, choices.index(option.value), key=key, help=about)
    if option.type is bool:
        return st.toggle(label, option.value, key=key, help=about)
    if option.type is int:
        return st.number_input(label, value=option.value, step=1, key=key, help=about)
    if option.type is float:
        return st.number_input(label, value=option.value, step=step_of(option.value), format="%g", key=key, help=about)
    empty = "none" if type(None) in typing.get_args(option.type) or isinstance(option.value, tuple) else ""
    text = "" if as_text(option.value) == "none" else as_text(option.value)
    typed = st.text_input(label, text, key=key, help=about, placeholder=empty, max_chars=200)
    return typed.strip() or as_text(option.value if not empty else None)


def sentence(option: Option) -> str:
    """An option's description as help: with its path, so that it can be found on the command line."""
    text = option.help[:1].upper() + option.help[1:]
    return f"{text.replace('``', '`')}\n\n`--set {option.path}={as_text(option.value)}`"


def step_of(value: float) -> float:
    """A tenth of the value's power of ten: 1e-4 for 1e-3, 0.1 for 1 and for 0."""
    if value <= 0:
        return 0.1
    return 10.0 ** (len(f"{value:e}") and int(f"{value:e}".partition("e")[2]) - 1)
