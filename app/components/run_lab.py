"""Runs on the Compare page: find them, keep those within ranges, see their fronts, and go on from one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import streamlit as st

from app.components import compare_view as view
from app.components import front_table
from app.components.compare_choice import remarks
from app.components.compare_figure import figure
from app.components.fronts import style_of
from app.components.parallel import parallel_data, show_parallel
from app.components.quantities import quantities
from app.components.result_import import added, result_import
from app.components.run_table import show_runs
from app.library.entries import RUNS
from app.library.lab import CONFIGURATION, METHOD, RUN, SEED, Lab, headings
from app.library.leaderboards import EvaluatedModel, Leaderboard
from app.library.series import MOST_RANKED, Series

MOST_DRAWN = 12
MOST_AXES = 10
USUAL_SETTINGS, USUAL_FIGURES = 4, 5
COMMON = 0.8  # share of the runs that have a setting which is shown at first
ELSEWHERE = ("points", "milliseconds")  # columns of the table of methods
GROUPS = {CONFIGURATION: "configuration (seeds together)", RUN: "each run for itself"}


def runs(board: Leaderboard) -> None:
    """The section."""
    known = quantities(board)
    columns = [column for column in front_table.columns(board, known) if column.key not in ELSEWHERE]
    models = [*board.models, *added(board)]
    lab = lab_of(models, columns)
    find, by, axes = controls(lab, board)
    found = [one.id for one in lab.passing(find, {})]
    brush = {axis: part for axis, part in lab.checked(_brush(board)).items() if axis in axes}
    passing = lab.passing(find, brush)
    groups = lab.grouped(passing, by)
    colours = {model.id: style_of(group).colour for group in groups for model in group.members}
    with st.container(horizontal=True):
        result_import(board, known)
    told = show_parallel(f"parallel {board.key}", parallel_data(lab, axes, colours, found, brush))
    if told is not None and told != st.session_state.get(f"told {_key(board)}"):
        st.session_state[f"told {_key(board)}"] = st.session_state[_key(board)] = told
        if lab.checked(told) != brush:
            st.rerun()
    view.tell("brush", json.dumps(_written(brush), separators=(",", ":")) if brush else None)
    if not passing:
        st.info("No run passes. Search for less, or press an axis to let go of its part.")
        return
    drawn = _drawn(groups)
    if len(drawn) < len(groups):
        st.caption(f"The figure has {len(drawn)} of {len(groups)} groups, those with the largest hypervolume.")
    remarks(board, drawn)
    figure(board, drawn, known)
    show_runs(board, lab, sorted(passing, key=lambda one: not one.id.startswith(RUNS)), known, columns, axes)


def lab_of(models: Sequence[EvaluatedModel], columns: Sequence[front_table.Column]) -> Lab:
    """The runs with their figures; what is known of none is left out."""
    figures = {one.heading: {model.id: _kept(model, one) for model in models} for one in columns}
    return Lab(models, {name: values for name, values in figures.items() if _holds(values.values())})


def _kept(model: EvaluatedModel, column: front_table.Column) -> float | None:
    """A figure of a front, computed once: a hundred of them take a second."""
    if column.key not in model.kept:
        model.kept[column.key] = column.of(model)
    return model.kept[column.key]


def controls(lab: Lab, board: Leaderboard) -> tuple[str, str, list[str]]:
    """What is searched for, how runs are grouped, and the axes."""
    left, middle, right = st.columns([1.2, 1.1, 2], vertical_alignment="bottom")
    find = view.asked("find")
    if find is not None:
        st.session_state["find"] = find[:200]
    words = left.text_input(
        "Find", key="find", placeholder="name, tag, note, or rank 8", icon=":material/search:", persist_state="session"
    )
    view.tell("find", words.strip() or None)
    told = headings(lab.axes)
    ways = [CONFIGURATION, RUN, *lab.settings]
    view.restore("group", "group", ways)
    by = middle.selectbox(
        "Group by",
        ways,
        key="group",
        format_func=lambda way: GROUPS.get(way) or told.get(way, way),
        persist_state="session",
        help="Runs of one group are joined as seeds are: their mean, with a band of one standard deviation.",
    )
    view.tell("group", by, CONFIGURATION)
    key, usual = f"columns {board.key}", usual_axes(lab)
    wanted = [axis for axis in (view.asked("columns") or "").split("|") if axis in lab.axes]
    kept = [axis for axis in st.session_state.get(key, usual) if axis in lab.axes]
    st.session_state[key] = wanted or kept
    axes = right.multiselect(
        "Axes", lab.axes, key=key, format_func=lambda a: told[a], max_selections=MOST_AXES, persist_state="session"
    )
    view.tell("columns", "|".join(axes) if axes != usual else None)
    return words, by or CONFIGURATION, axes or usual


def usual_axes(lab: Lab) -> list[str]:
    """Settings that differ, the method first, then how good the fronts are."""
    common = [axis for axis in lab.settings if _common(lab, axis) and axis not in (METHOD, SEED)]
    first = [METHOD] * (METHOD in lab.settings) + [axis for axis in common if not axis.endswith(".name")]
    best = [name for name in lab.figures if name.startswith(("hypervolume", "best"))]
    return (first[:USUAL_SETTINGS] + best[:USUAL_FIGURES]) or lab.axes[:USUAL_FIGURES]


def _common(lab: Lab, axis: str) -> bool:
    known = [value for value in lab.settings[axis].values() if value is not None]
    return len(known) >= COMMON * len(lab.models)


def _drawn(groups: Sequence[Series]) -> list[Series]:
    if len(groups) <= MOST_DRAWN:
        return list(groups)
    small = len(groups[0].mean.tasks) <= MOST_RANKED
    ranked = sorted(groups, key=lambda one: -one.mean.hypervolume()) if small else list(groups)
    kept = ranked[:MOST_DRAWN]
    return [one for one in groups if one in kept]


def _key(board: Leaderboard) -> str:
    return f"brush {board.key}"


def _brush(board: Leaderboard) -> Any:
    """What is kept: what a link says, else what was dragged last."""
    linked = view.asked("brush")
    if linked is not None:
        with suppress(ValueError, RecursionError):
            st.session_state[_key(board)] = json.loads(linked)
    return st.session_state.get(_key(board))


def _written(brush: dict[str, Any]) -> dict[str, Any]:
    return {axis: sorted(part) if isinstance(part, frozenset) else list(part) for axis, part in brush.items()}


def _holds(values: Any) -> bool:
    return any(value is not None for value in values)
