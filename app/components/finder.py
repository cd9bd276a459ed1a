"""Limits and wishes in, a preference out: any number of bounds, a figure to push, the knee, as good as a candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from app import state
from app.analysis import limits, trade_offs
from app.analysis.queries import Column, Wish, columns, find, relative_bound
from app.bench.bounds import MOST, Bound
from app.bench.preferences import told
from app.bench.view import View
from app.components.plain import plain
from app.library.loading import LoadedModel

FOUND = "found"


def wishes_of(loaded: LoadedModel, view: View) -> list[Wish]:
    """The limits in a view of a model."""
    if loaded.front is None:
        return []
    known = {column.key: column for column in columns(loaded.front, loaded.tasks)}
    return [Wish(known[bound.key], bound.value) for bound in view.bounds if bound.key in known]


def finder(loaded: LoadedModel) -> None:
    """Limits one by one, then what to make as good as possible; buttons move the explorer."""
    assert loaded.front is not None
    choices = {column.key: column for column in columns(loaded.front, loaded.tasks) if np.isfinite(column.values).all()}
    keys = [key for key in choices if not key.endswith("/loss")] + [key for key in choices if key.endswith("/loss")]
    bounds_form(loaded, choices, keys)
    wishes = wishes_of(loaded, state.view(loaded))
    bounded = {wish.column.key for wish in wishes}
    rest = [key for key in keys if key not in bounded] or keys
    pushed = choices[_select("Make as good as possible", rest, choices, "find_push")]
    if st.button("Go there", type="primary", key="find_go", icon=":material/near_me:", width="stretch"):
        answer = find(loaded.front, wishes, pushed)
        go(loaded, answer.preference, limits.sentence(loaded.front, wishes, answer, pushed), answer.feasible)
    said = st.container()
    shortcuts(loaded, choices)
    last = st.session_state.get(FOUND)
    if last and last[0] == loaded.entry.id:
        (said.success if last[2] else said.warning)(plain(last[1]))


def go(loaded: LoadedModel, preference: Sequence[float], said: str, good: bool = True) -> None:
    """Have the explorer go to a λ, and say why."""
    state.send(loaded, preference=list(preference))
    st.session_state[FOUND] = (loaded.entry.id, said, good)


def bounds_form(loaded: LoadedModel, choices: Mapping[str, Column], keys: Sequence[str]) -> None:
    """The limits that there are, and one more."""
    view = state.view(loaded)
    for bound in view.bounds:
        if bound.key in choices:
            _bound_row(loaded, bound, choices[bound.key])
    first = next((key for key in keys if choices[key].task == loaded.tasks[1].name), keys[-1])
    column = choices[_select("Limit", keys, choices, "find_bound", first)]
    kinds = ["share of the best", "value"]
    kind = st.segmented_control("Bound", kinds, default=kinds[0], key="find_kind", label_visibility="collapsed")
    value = _share(column) if kind != "value" else _value(column)
    full = len(view.bounds) >= MOST
    if st.button("Set this limit", key="find_set", icon=":material/add:", disabled=full, width="stretch"):
        kept = tuple(bound for bound in view.bounds if bound.key != column.key)
        set_bounds(loaded, (*kept, Bound(column.key, value)))


def set_bounds(loaded: LoadedModel, bounds: tuple[Bound, ...]) -> None:
    """Have other limits, here and on pad and front."""
    state.update(loaded, replace(state.view(loaded), bounds=bounds))
    st.session_state.pop(FOUND, None)
    st.rerun()


def _bound_row(loaded: LoadedModel, bound: Bound, column: Column) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(plain(str(Wish(column, bound.value))), width="stretch")
        if st.button(
            "", icon=":material/close:", key=f"unbound_{bound.key}", help=f"Take back the limit on {column.label}"
        ):
            set_bounds(loaded, tuple(one for one in state.view(loaded).bounds if one != bound))


def shortcuts(loaded: LoadedModel, choices: Mapping[str, Column]) -> None:
    """The knee, and what is as good as the candidate compared with but better in one thing."""
    assert loaded.front is not None
    leading = trade_offs.leading(list(choices.values()), loaded.tasks)
    with st.container(horizontal=True):
        if len(leading) > 1 and st.button("Knee", key="find_knee", icon=":material/turn_slight_right:"):
            there = trade_offs.knee(loaded.front, leading)
            go(loaded, there, f"{told(there)} is the knee: from here, every gain costs the others more than before.")
        candidate = state.view(loaded).shortlist.compared
        if candidate is None or candidate.model != loaded.entry.id or len(leading) < 2:
            return
        named = {column.key: column for column in leading}
        push = named[_select(f"As good as {candidate.name}, but better in", list(named), named, "find_but")]
        if st.button("Look", key="find_look"):
            answer = trade_offs.as_good_but(loaded.front, leading, candidate.preference, push)
            if answer is None:
                said = f"Nothing on the front is as good as {candidate.name} in all else and better in {push.label}."
                st.session_state[FOUND] = (loaded.entry.id, said, False)
            else:
                value = push.metric.format(answer.values[push.key])
                said = (
                    f"{told(answer.preference)} is as good as {candidate.name} in all else, with {push.label} {value}."
                )
                go(loaded, answer.preference, said)


def _select(label: str, keys: Sequence[str], choices: Mapping[str, Column], key: str, first: str = "") -> str:
    if st.session_state.get(key) not in keys:
        st.session_state[key] = first if first in keys else keys[0]
    chosen: str = st.selectbox(label, keys, format_func=lambda key: choices[key].label, key=key)
    return chosen


def _share(column: Column) -> float:
    share = st.slider("at least … of the best", 50, 100, 95, format="%d %%", key="find_share") / 100
    bound = relative_bound(column, share)
    st.caption(plain(str(Wish(column, bound))))
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
