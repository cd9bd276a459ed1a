"""Wishes in, a preference out: the form of the inverse query."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import state
from app.analysis.queries import Answer, Column, Wish, columns, find, relative_bound
from app.library.loading import LoadedModel


def finder(loaded: LoadedModel) -> None:
    """A bound on one quantity, another to push; the button moves the explorer."""
    assert loaded.front is not None
    choices = {column.key: column for column in columns(loaded.front, loaded.tasks) if np.isfinite(column.values).all()}
    keys = [key for key in choices if not key.endswith("/loss")] + [key for key in choices if key.endswith("/loss")]
    first_of_second = next((k for k in keys if choices[k].task == loaded.tasks[1].name), keys[-1])

    def label(key: str) -> str:
        return choices[key].label

    bounded = choices[
        st.selectbox("Keep", keys, index=keys.index(first_of_second), format_func=label, key="find_bound")
    ]
    kind = st.segmented_control(
        "Bound",
        ["share of the best", "value"],
        default="share of the best",
        key="find_kind",
        label_visibility="collapsed",
    )
    bound = _share(bounded) if kind != "value" else _value(bounded)
    rest = [key for key in keys if key != bounded.key]
    pushed = choices[st.selectbox("and make as good as possible", rest, format_func=label, key="find_push")]
    if st.button("Go there", type="primary", key="find_go", icon=":material/near_me:"):
        answer = find(loaded.front, [Wish(bounded, bound)], pushed)
        state.send(loaded, preference=list(answer.preference))
        st.session_state["found"] = (loaded.entry.id, sentence(answer, bounded, pushed), answer.feasible)
    last = st.session_state.get("found")
    if last and last[0] == loaded.entry.id:
        (st.success if last[2] else st.warning)(last[1])


def sentence(answer: Answer, bounded: Column, pushed: Column) -> str:
    """The answer in words, with how far off an impossible wish is."""
    weights = ", ".join(f"{v:.2f}" for v in answer.preference)
    there = " and ".join(f"{c.label} {c.metric.format(answer.values[c.key])}" for c in (bounded, pushed))
    if answer.feasible:
        return f"λ = ({weights}) gives {there} on the evaluated split."
    wish, gap = next(iter(answer.missed.items()))
    short = f"{100 * gap:.1f} points" if bounded.metric.unit == "%" else bounded.metric.format(gap)
    return f"No preference gives {wish}: the nearest, λ = ({weights}), misses it by {short} ({there})."


def _share(column: Column) -> float:
    share = st.slider("at least … of the best", 50, 100, 95, format="%d %%", key="find_share") / 100
    bound = relative_bound(column, share)
    sign = "≥" if column.metric.higher_is_better else "≤"
    st.caption(f"{column.label} {sign} {column.metric.format(bound)}")
    return bound


def _value(column: Column) -> float:
    scale = 100.0 if column.metric.unit == "%" else 1.0
    low, high = float(column.values.min() * scale), float(column.values.max() * scale)
    word = "at least" if column.metric.higher_is_better else "at most"
    unit = f" [{column.metric.unit}]" if column.metric.unit else ""
    step = (high - low) / 50 or 0.01
    help_text = f"Between {low:.4g} and {high:.4g} on the front."
    middle = (low + high) / 2
    value = st.number_input(
        f"{word}{unit}", value=middle, step=step, format="%.4g", key=f"find_value_{column.key}", help=help_text
    )
    return value / scale
