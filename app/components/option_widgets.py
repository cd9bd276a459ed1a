"""Widgets for the options of a dataclass: its types, choices, defaults and docstrings are all there is to it."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app.components.plain import plain
from app.jobs import FORBIDDEN_SETTINGS, as_text
from app.jobs.naming import option_name
from palora_core.config import Option, options, override
from palora_core.errors import UserError

COLUMNS = 3


@dataclass
class Answers:
    """What a person has put into a form so far.

    Attributes:
        settings: ``"group.path"`` → value, for the options that were changed.
        problems: a sentence for every field whose value cannot be.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """Why nothing can be started with these, "" if something can."""
        more = f" ({len(self.problems) - 1} more above)" if len(self.problems) > 1 else ""
        return self.problems[0] + more if self.problems else ""


def option_widgets(
    config: Any, group: str, key: str, answers: Answers, leave_out: Iterable[str] = (), columns: int = COLUMNS
) -> None:
    """One widget per option of ``config``; below a value that cannot be stands the reason.

    Args:
        config: a dataclass (a benchmark, a method, training options).
        group: ``"benchmark"``, ``"method"`` or ``"training"``; goes before the names of the settings.
        key: prefix of the widgets' keys.
        answers: where changed options and problems are noted.
        leave_out: names of options shown elsewhere.
        columns: widgets side by side.
    """
    hidden = {*leave_out, *FORBIDDEN_SETTINGS}
    shown = [option for option in options(config) if option.path not in hidden and option.name not in hidden]
    for start in range(0, len(shown), columns):
        row = shown[start : start + columns]
        for place, option in zip(st.columns(columns, vertical_alignment="top"), row):
            with place:
                value = widget(option, f"{key}.{group}.{option.path}")
                problem = refusal(config, option, value)
                if problem:
                    below(problem)
            if problem:
                answers.problems.append(problem)
            elif as_text(value) != as_text(option.value):
                answers.settings[f"{group}.{option.path}"] = value


def refusal(config: Any, option: Option, value: Any) -> str:
    """Why an option cannot have a value, by the check that scripts use too; "" if it can."""
    if as_text(value) == as_text(option.value):
        return ""
    try:
        override(config, {option.path: value})
    except UserError as error:
        return str(error)
    return ""


def below(problem: str) -> None:
    """A sentence under a field, as plain text: it quotes what was typed."""
    st.caption(f":red[:material/error: {plain(problem)}]")


def widget(option: Option, key: str) -> Any:
    """The widget that fits an option's type; returns its value, or text for the command-line parser."""
    label, about = option_name(option.name), sentence(option)
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


def state_of(option: Option, value: Any) -> Any:
    """What the state of an option's widget is where the option has a value, as cards and configurations tell it."""
    if option.choices or option.type in (bool, int, float):
        return option.type(value) if option.type in (bool, int, float) else value
    text = as_text(value)
    return "" if text == "none" else text


def sentence(option: Option) -> str:
    """An option's description as help: what it may be, and its path, so that it can be found on the command line."""
    text = option.help[:1].upper() + option.help[1:]
    allowed = f" {str(option.range).capitalize()}." if option.range else ""
    return f"{text.replace('``', '`')}{allowed}\n\n`--set {option.path}={as_text(option.value)}`"


def step_of(value: float) -> float:
    """A tenth of the value's power of ten: 1e-4 for 1e-3, 0.1 for 1 and for 0."""
    if value <= 0:
        return 0.1
    return 10.0 ** (len(f"{value:e}") and int(f"{value:e}".partition("e")[2]) - 1)
