"""The figure of the Compare page: what to draw, the figure itself, and pictures of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.components import compare_view as view
from app.components import dominance, front_views, fronts
from app.components.figure_download import show_downloads
from app.components.plain import plain
from app.components.quantities import Quantity
from app.library.leaderboards import Leaderboard
from app.library.series import Series

NOBODY = "–"


def figure(board: Leaderboard, shown: Sequence[Series], known: dict[str, Quantity]) -> None:
    """The figure with its controls."""
    left, right = st.columns([3.2, 1], gap="medium")
    with right:
        chart, caption = controls(board, shown, known)
        st.caption("Save the figure")
        show_downloads("figure_files", chart, f"fronts-{board.name}")
    with left:
        tools = {
            "displayModeBar": True,
            "displaylogo": False,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "toImage"],
        }
        names = ", ".join(one.name for one in shown)
        st.plotly_chart(chart, key="fronts", config=tools, alt=f"Fronts on {board.title}: {names}")
        if caption:
            st.caption(caption)


def controls(board: Leaderboard, shown: Sequence[Series], known: dict[str, Quantity]) -> tuple[Any, str]:
    """What to draw; returns the figure and a sentence on it."""
    count = len(board.tasks)
    losses = [q for q in known.values() if q.key.endswith("/loss")]
    if count == 1:
        return front_views.strip(shown, known[_quantity("Quantity", known, list(known)[-1])]), ""
    kind = segments("Axes", ["Losses", "Metrics"], "axes")
    axes = losses if kind != "Metrics" else [_metric_axis(task.name, known) for task in board.tasks]
    if count > 3:
        return _many(board, shown, axes)
    if count == 3:
        return _three(board, shown, known, axes)
    coloured = colouring()
    shaded = _shaded(shown) if kind != "Metrics" else None
    if coloured:
        _colour_key(list(shown[0].mean.tasks))
    caption = _difference(shaded, board) if shaded else ""
    return fronts.plane(shown, axes[0], axes[1], board.reference, shaded, coloured), caption


def _many(board: Leaderboard, shown: Sequence[Series], axes: Sequence[Quantity]) -> tuple[Any, str]:
    """More than three tasks: an axis for each, or two of them against each other."""
    if segments("View", ["All tasks", "Two tasks"], "many") != "Two tasks":
        return front_views.parallel(shown, axes), "One line per evaluated preference; every axis from worst to best."
    of_task = {task.name: axis for task, axis in zip(board.tasks, axes)}
    across, up = (
        st.selectbox(label, list(of_task), at, format_func=lambda name: name.replace("_", " "), key=f"many {label}")
        for at, label in enumerate(("Across", "Up"))
    )
    return fronts.plane(shown, of_task[across], of_task[up]), "The other tasks are not in this plane."


def _three(
    board: Leaderboard, shown: Sequence[Series], known: dict[str, Quantity], axes: list[Quantity]
) -> tuple[Any, str]:
    form = segments("View", ["Pairs", "3-D", "Triangle"], "view")
    names = [task.name for task in board.tasks]
    if form == "Triangle":
        choice = known[_quantity("Colour", known, axes[0].key)]
        return front_views.triangles(shown, choice, names), "Every triangle is the simplex of λ."
    coloured = colouring()
    if coloured:
        _colour_key(names)
    shaded = _shaded(shown)
    caption = _difference(shaded, board) if shaded else ""
    return (front_views.space if form == "3-D" else fronts.pairs)(shown, axes, coloured), caption


def segments(label: str, options: Sequence[str], name: str) -> str:
    """One of a few options, the first at first; part of the address."""
    view.restore(name, name, options)
    st.session_state.setdefault(name, options[0])
    chosen = st.segmented_control(label, options, key=name, width="stretch", persist_state="session") or options[0]
    view.tell(name, chosen, options[0])
    return chosen


def colouring() -> bool:
    """Whether points have the colour of their λ."""
    view.restore("coloured", "coloured", [True, False], lambda text: text == "True")
    chosen = st.toggle("Colour by λ", key="coloured", persist_state="session")
    view.tell("coloured", chosen, False)
    return chosen


def _colour_key(tasks: Sequence[str]) -> None:
    told = "Which colour stands for which λ"
    st.plotly_chart(front_views.simplex_key(tasks), key="key", config={"staticPlot": True}, alt=told)


def _quantity(label: str, known: dict[str, Quantity], default: str) -> str:
    keys = list(known)
    return st.selectbox(label, keys, keys.index(default), format_func=lambda k: known[k].label, key=f"quantity {label}")


def _metric_axis(task: str, known: dict[str, Quantity]) -> Quantity:
    """The metric of a task on its axis; a choice where there are several."""
    keys = [key for key, q in known.items() if q.name == task and not key.endswith("/loss")]
    if len(keys) < 2 or len(known) > 20:
        return known[keys[0]]
    return known[st.selectbox(task.replace("_", " "), keys, format_func=lambda k: known[k].label, key=f"axis {task}")]


def _shaded(shown: Sequence[Series]) -> tuple[Series, Series] | None:
    """Two methods whose hypervolumes are compared."""
    if len(shown) < 2:
        return None
    names = [one.name for one in shown]
    view.restore("hypervolume", "shade_first", [NOBODY, *names])
    with st.container(gap="small"):
        first = st.selectbox("Hypervolume of", [NOBODY, *names], key="shade_first")
        others = [name for name in names if name != first]
        view.restore("against", "shade_second", others)
        second = st.selectbox("against", others, key="shade_second", disabled=first == NOBODY)
    view.tell("hypervolume", first, NOBODY)
    view.tell("against", second if first != NOBODY else None)
    if first not in names or second not in names:
        return None
    return shown[names.index(first)], shown[names.index(second)]


def _difference(pair: tuple[Series, Series], board: Leaderboard) -> str:
    found = dominance.difference(pair[0].mean, pair[1].mean, board.reference)
    if found is None:
        return ""
    a, b = (plain(one.name) + (" (mean of seeds)" if len(one.members) > 1 else "") for one in pair)
    point = ", ".join(f"{v:g}" for v in board.reference)
    return (
        f"Up to the reference ({point}), **{a}** dominates {found.first:.4f} and **{b}** {found.second:.4f}: "
        f"{found.only_first:.4f} only the former, {found.only_second:.4f} only the latter."
    )
