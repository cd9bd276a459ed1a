"""Compare: fronts of several methods on one benchmark, their table, and their predictions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components import dominance, front_table, front_views, fronts, side_by_side
from app.components.predictions_panel import predictions
from app.components.quantities import Quantity, quantities
from app.library import contenders
from app.library.contenders import Arena, Series
from app.services import services
from app.settings import ROOT
from palora_core.errors import UserError

TEXTS = ROOT / "app" / "texts"
PUBLISHED = ROOT / "docs" / "published"
SHOWN_AT_FIRST = 8
UNITS_OF_TIME = "measured_times"


def page() -> None:
    """Lay out the page, or say what is missing."""
    st.title("Compare", anchor=False)
    arenas, problems = contenders.arenas(services().registry.entries())
    if not arenas:
        st.info((TEXTS / "no_models.md").read_text(encoding="utf-8"))
        _list_problems(problems)
        return
    arena = choose_arena(arenas)
    with st.sidebar.expander("How to use this page", icon=":material/help:"):
        st.markdown((TEXTS / "compare.md").read_text(encoding="utf-8"))
    with st.sidebar:
        _list_problems(problems)
    everything = contenders.series([*arena.contenders, *_published(arena)])
    shown = choose_series(arena, everything)
    if not shown:
        st.info("Choose at least one method to see its front.")
        return
    known = quantities(arena)
    figure(arena, shown, known)
    table(arena, shown, known)
    st.fragment(predictions)(arena, shown)


def choose_arena(arenas: Sequence[Arena]) -> Arena:
    """The benchmark; the one with most models at first."""
    keys = [arena.key for arena in arenas]
    titles = {arena.key: arena.title for arena in arenas}
    wanted = st.query_params.get("benchmark")
    start = next((i for i, arena in enumerate(arenas) if arena.name == wanted or arena.key == wanted), 0)
    key = st.sidebar.selectbox(
        "Benchmark", keys, start, format_func=lambda k: titles.get(k, k), key="arena", persist_state="session"
    )
    return arenas[keys.index(key)]


def _published(arena: Arena) -> list[contenders.Contender]:
    found = contenders.published(PUBLISHED / f"{arena.name}.json", arena)
    if not found:
        return []
    wanted = st.sidebar.toggle("Published results", key="published", help=_note(arena), persist_state="session")
    return found if wanted else []


def _note(arena: Arena) -> str:
    data = contenders.published_notes(PUBLISHED / f"{arena.name}.json")
    return f"{data['source']} {data['note']}"


def choose_series(arena: Arena, everything: Sequence[Series]) -> list[Series]:
    """Which methods; all of them at first, within reason."""
    names = [one.name for one in everything]
    own = [one.name for one in everything if not one.published]
    links = {member.id: one.name for one in everything for member in one.members}
    asked = [links[model] for model in st.query_params.get("models", "").split(",") if model in links]
    key = f"series {arena.key}"
    if key not in st.session_state:
        st.session_state[key] = list(dict.fromkeys(asked)) or contenders.shown_first(everything, SHOWN_AT_FIRST)
    if len(own) > SHOWN_AT_FIRST:
        presets(key, everything)
    chosen = st.multiselect(
        "Methods",
        own,
        key=key,
        placeholder="Choose methods",
        label_visibility="collapsed",
        persist_state="session",
    )
    shown = [everything[names.index(name)] for name in chosen if name in names]
    shown += [one for one in everything if one.published]
    differing = contenders.differing_data(shown)
    if differing:
        st.warning(
            f"These models were measured on different data (they differ in {', '.join(differing)}); compare with care.",
            icon=":material/balance:",
        )
    if any(one.published for one in shown):
        st.caption(f"Dotted and hollow: published. {_note(arena)}")
    return shown


def presets(key: str, everything: Sequence[Series]) -> None:
    """Buttons that fill the choice of methods where there are many."""
    mine = [one for one in everything if not one.published]
    choices = {
        "A few": contenders.shown_first(mine, SHOWN_AT_FIRST),
        "All fronts": [one.name for one in mine if not one.single],
        "All single solutions": [one.name for one in mine if one.single],
        "Everything": [one.name for one in mine],
        "Nothing": [],
    }
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(f"{len(mine)} methods on this benchmark:", width="content")
        for label, names in choices.items():
            if names or label == "Nothing":
                st.button(label, key=f"preset {label}", on_click=st.session_state.__setitem__, args=(key, names))


def figure(arena: Arena, shown: Sequence[Series], known: dict[str, Quantity]) -> None:
    """The figure with its controls."""
    left, right = st.columns([3.2, 1], gap="medium")
    with right:
        chart, caption = controls(arena, shown, known)
        form = st.segmented_control("Picture as", ["PNG", "SVG"], default="PNG", key="picture_format", width="stretch")
        st.caption("The camera above the figure saves it.")
    with left:
        options = {"format": (form or "PNG").lower(), "filename": f"fronts-{arena.name}", "scale": 2}
        tools = {
            "displayModeBar": True,
            "displaylogo": False,
            "toImageButtonOptions": options,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        }
        names = ", ".join(one.name for one in shown)
        st.plotly_chart(chart, key="fronts", config=tools, alt=f"Fronts on {arena.title}: {names}")
        if caption:
            st.caption(caption)


def controls(arena: Arena, shown: Sequence[Series], known: dict[str, Quantity]) -> tuple[Any, str]:
    """What to draw; returns the figure and a sentence on it."""
    count = len(arena.tasks)
    losses = [q for q in known.values() if q.key.endswith("/loss")]
    if count == 1:
        return front_views.strip(shown, known[_quantity("Quantity", known, list(known)[-1])]), ""
    kind = st.segmented_control(
        "Axes", ["Losses", "Metrics"], default="Losses", key="axes", width="stretch", persist_state="session"
    )
    axes = losses if kind != "Metrics" else [_metric_axis(task.name, known) for task in arena.tasks]
    if count > 3:
        return _many(arena, shown, axes)
    if count == 3:
        return _three(arena, shown, known, axes)
    coloured = st.toggle("Colour by λ", key="coloured", persist_state="session")
    shaded = _shaded(shown) if kind != "Metrics" else None
    if coloured:
        _colour_key(list(shown[0].mean.tasks))
    caption = _difference(shaded, arena) if shaded else ""
    return fronts.plane(shown, axes[0], axes[1], arena.reference, shaded, coloured), caption


def _many(arena: Arena, shown: Sequence[Series], axes: Sequence[Quantity]) -> tuple[Any, str]:
    """More than three tasks: an axis for each, or two of them against each other."""
    view = st.segmented_control(
        "View", ["All tasks", "Two tasks"], default="All tasks", key="many", width="stretch", persist_state="session"
    )
    if view != "Two tasks":
        return front_views.parallel(shown, axes), "One line per evaluated preference; every axis from worst to best."
    of_task = {task.name: axis for task, axis in zip(arena.tasks, axes)}
    across, up = (
        st.selectbox(label, list(of_task), at, format_func=lambda name: name.replace("_", " "), key=f"many {label}")
        for at, label in enumerate(("Across", "Up"))
    )
    return fronts.plane(shown, of_task[across], of_task[up]), "The other tasks are not in this plane."


def _three(arena: Arena, shown: Sequence[Series], known: dict[str, Quantity], axes: list[Quantity]) -> tuple[Any, str]:
    view = st.segmented_control(
        "View", ["Pairs", "3-D", "Triangle"], default="Pairs", key="view", width="stretch", persist_state="session"
    )
    names = [task.name for task in arena.tasks]
    if view == "Triangle":
        choice = known[_quantity("Colour", known, axes[0].key)]
        return front_views.triangles(shown, choice, names), "Every triangle is the simplex of λ."
    coloured = st.toggle("Colour by λ", key="coloured", persist_state="session")
    if coloured:
        _colour_key(names)
    shaded = _shaded(shown)
    caption = _difference(shaded, arena) if shaded else ""
    return (front_views.space if view == "3-D" else fronts.pairs)(shown, axes, coloured), caption


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
    with st.container(gap="small"):
        first = st.selectbox("Hypervolume of", ["–", *names], key="shade_first")
        second = st.selectbox("against", [name for name in names if name != first], key="shade_second")
    if first not in names or second not in names:
        return None
    return shown[names.index(first)], shown[names.index(second)]


def _difference(pair: tuple[Series, Series], arena: Arena) -> str:
    found = dominance.difference(pair[0].mean, pair[1].mean, arena.reference)
    if found is None:
        return ""
    a, b = (one.name + (" (mean of seeds)" if len(one.members) > 1 else "") for one in pair)
    point = ", ".join(f"{v:g}" for v in arena.reference)
    return (
        f"Up to the reference ({point}), **{a}** dominates {found.first:.4f} and **{b}** {found.second:.4f}: "
        f"{found.only_first:.4f} only the former, {found.only_second:.4f} only the latter."
    )


def table(arena: Arena, shown: Sequence[Series], known: dict[str, Quantity]) -> None:
    """The table, its downloads, and the measurement of prediction times."""
    times: dict[str, float] = st.session_state.setdefault(UNITS_OF_TIME, {})
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Table", anchor=False, width="content")
        buttons = st.container(horizontal=True, horizontal_alignment="right", width="content")
    with buttons:
        if st.button("Measure prediction times", icon=":material/timer:", key="measure"):
            measure(shown, times)
    every = front_table.columns(arena, known, times)
    rows = front_table.rows(shown, every)
    wanted = front_table.filled(every, rows)
    with buttons:
        _downloads(arena, shown, wanted, rows)
    frame = pd.DataFrame(front_table.records(shown, wanted, rows))
    st.dataframe(
        frame,
        hide_index=True,
        column_config=_formats(wanted),
        key="table",
        placeholder="–",
        alt="Figures of every method",
    )


def measure(shown: Sequence[Series], times: dict[str, float]) -> None:
    """Milliseconds per prediction of one seed of each series."""
    models = [one.members[0].id for one in shown if not one.published]
    bar = st.progress(0.0, text="Measuring …")
    for done, model in enumerate(models, start=1):
        try:
            spent = side_by_side.prediction_time(services(), model)
            times.update({model: spent} if spent is not None else {})
        except UserError as error:
            st.warning(str(error), icon=":material/timer_off:")
        bar.progress(done / len(models), text="Measuring …")
    bar.empty()


def _formats(wanted: Sequence[front_table.Column]) -> dict[str, Any]:
    formats: dict[str, Any] = {
        "method": st.column_config.TextColumn("method", pinned=True),
        "seeds": st.column_config.NumberColumn("seeds", help="Training runs behind the figures; ± is their spread."),
    }
    for column in wanted:
        number = f"%.{column.decimals}f"
        arrow = {1: " ↑", -1: " ↓", 0: ""}[column.better]
        heading = column.heading + arrow
        formats[column.heading] = st.column_config.NumberColumn(heading, format=number, help=column.help or None)
        formats[f"± {column.heading}"] = st.column_config.NumberColumn("±", format=number, help="Standard deviation.")
    return formats


def _downloads(
    arena: Arena, shown: Sequence[Series], wanted: Sequence[front_table.Column], rows: Sequence[front_table.Row]
) -> None:
    for label, suffix, text in (
        ("CSV", "csv", front_table.to_csv(shown, wanted, rows)),
        ("LaTeX", "tex", front_table.to_latex(shown, wanted, rows)),
    ):
        name = f"comparison-{arena.name}.{suffix}"
        st.download_button(
            label, text, file_name=name, icon=":material/download:", on_click="ignore", key=f"download_{suffix}"
        )


def _list_problems(problems: Sequence[str]) -> None:
    if problems:
        with st.expander(f"Left out: {len(problems)}", icon=":material/info:"):
            for problem in problems:
                st.caption(problem)


page()
