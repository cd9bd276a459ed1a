"""The part of the Compare page that shows one image through two models at the same λ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from app import state
from app.bench.preferences import checked, parsed, written
from app.components import compare_view as view
from app.components import fronts, side_by_side
from app.components.plain import plain
from app.components.preference_input import preference_input
from app.library.leaderboards import Leaderboard
from app.library.loading import LoadedModel
from app.library.series import Series
from app.pictures.scenes import sample_ids
from app.services import services
from palora_core.errors import UserError
from palora_core.tasks import Task

MOST_CHARTS = 6  # tasks with a figure each; a table has room for more


def predictions(board: Leaderboard, shown: Sequence[Series]) -> None:
    """One image through two of the models at the same λ."""
    models = {one.members[0].id: one for one in shown if not one.published}
    if models:
        st.subheader("Predictions side by side", anchor=False)
        try:
            _predictions(board, models)
        except UserError as error:
            st.error(plain(str(error)), icon=":material/broken_image:")
    view.end()


def _predictions(board: Leaderboard, models: dict[str, Series]) -> None:
    ids, places = list(models), st.columns([1, 1, 1, 2], gap="medium")
    with places[0]:
        chosen = [_model("First", "first", ids, 0, models)]
    if len(ids) > 1:
        with places[1]:
            chosen.append(_model("Second", "second", ids, 1, models))
    loaded = [services().registry.get(model) for model in chosen]
    if not state.images(loaded[0]):
        noun = loaded[0].input_view.noun
        st.info(f"No samples travel with the first of these models; send a {noun} of your own on the Explore page.")
        return
    with places[2]:
        image = _image(loaded[0])
    with places[3]:
        preference = choose_preference(loaded)
    answers = [side_by_side.predict(services(), chosen[0], image, preference)]
    if len(chosen) > 1:
        answers.append(side_by_side.predict_on(services(), *loaded, image, preference))
    known = side_by_side.truth(services(), chosen[0], image)
    show_predictions(board, [models[model] for model in chosen], answers, known, loaded[0])


def _model(label: str, name: str, ids: Sequence[str], usual: int, models: dict[str, Series]) -> str:
    """One of the models; part of the address."""
    key = f"{name}_model"
    view.restore(name, key, ids)
    st.session_state.setdefault(key, ids[usual])
    chosen: str = st.selectbox(label, ids, format_func=lambda model: models[model].name, key=key)
    view.tell(name, chosen, ids[usual])
    return chosen


def _image(loaded: LoadedModel) -> str:
    """One of the first model's samples, or a person's own; the one that was last looked at on any page."""
    names, own = dict(state.images(loaded)), state.view(loaded)
    images = list(names)
    view.restore("sample", "compare_image", images)
    if "compare_image" not in st.session_state:
        st.session_state["compare_image"] = own.image if own.image in images else images[0]
    chosen: str = st.selectbox("Input", images, format_func=names.get, key="compare_image")
    state.update(loaded, replace(own, image=chosen))
    view.tell("sample", chosen if chosen in sample_ids(loaded) else None)
    return chosen


def choose_preference(loaded: Sequence[LoadedModel]) -> list[float]:
    """λ for models that have one; it is the λ of these models on all pages, and part of the address."""
    num_tasks, steered = loaded[0].num_tasks, [one for one in loaded if one.model.controllable]
    if num_tasks == 1:
        return [1.0]
    if not steered:
        st.caption("Single solutions: each is one network with one trade-off, so there is no λ to choose.")
        return [1 / num_tasks] * num_tasks
    linked = parsed(view.asked("preference") or "", num_tasks)
    names = [task.name.replace("_", " ") for task in loaded[0].tasks]
    chosen = preference_input(names, linked or list(state.view(steered[0]).preference))
    for one in steered:
        state.update(one, state.view(one).at(checked(list(chosen), num_tasks)))
    view.tell("preference", written(chosen))
    return chosen


def show_predictions(
    board: Leaderboard,
    models: Sequence[Series],
    answers: Sequence[side_by_side.Answer],
    known: side_by_side.Answer,
    loaded: LoadedModel,
) -> None:
    """A row per pictured task (truth, first, second), a figure for tasks that have one, a table for the others."""
    pictured = [task for task in board.tasks if loaded.views[task.name].pictured]
    told = [task for task in loaded.predicting if not loaded.views[task.name].pictured]
    charted = [task for task in told if loaded.views[task.name].charted()]
    charted = charted if len(charted) <= MOST_CHARTS else []
    for task in pictured:
        _row(task, models, answers, known, first=task is pictured[0])
    if told and not pictured and "input" in known.pictures:
        left, right = st.columns([1, 4], gap="medium")
        left.image(known.pictures["input"], "input", width="stretch", alt="input picture")
    else:
        right = st.container()
    with right:
        _charts(charted, models, answers, known, loaded)
        others = [task for task in told if task not in charted]
        if others:
            st.dataframe(_table(others, models, answers, known, loaded), hide_index=True, key="told")


def _row(task: Task, models: Any, answers: Any, known: Any, first: bool) -> None:
    title = task.name.replace("_", " ")
    places = st.columns(4 if first else [1, 1, 1, 1], gap="small")
    if first and "input" in known.pictures:
        places[0].image(known.pictures["input"], "input", width="stretch", alt="input picture")
    if task.name in known.pictures:
        told = f"{title}, ground truth"
        places[1].image(known.pictures[task.name], told, width="stretch", alt=told)
    for place, one, answer in zip(places[2:], models, answers):
        told = f"{one.name}: {_scores(task, answer)}"
        fixed = "" if one.steered else ". One solution: λ does not change it"
        place.image(answer.pictures[task.name], plain(told + fixed), width="stretch", alt=f"{title} of {told}")


def _scores(task: Task, answer: side_by_side.Answer) -> str:
    values = answer.metrics.get(task.name, {})
    parts = [f"{m.label} {m.format(values[m.name])}" for m in task.metrics[:1] if values.get(m.name) is not None]
    return ", ".join(parts) or task.name.replace("_", " ")


def _charts(tasks: Sequence[Task], models: Any, answers: Any, known: Any, loaded: LoadedModel) -> None:
    for place, task in zip(st.columns(max(1, min(3, len(tasks)))) * len(tasks), tasks):
        view = loaded.views[task.name]
        given = [
            (one.name, fronts.style_of(one).colour, "/" if number else "", answer.values[task.name])
            for number, (one, answer) in enumerate(zip(models, answers))
        ]
        title = task.name.replace("_", " ")
        told = "; ".join(f"{name} {view.cell(values)}" for name, *_, values in given)
        with place:
            st.markdown(f"**{plain(title)}**")
            chart = view.chart(given, known.values.get(task.name))
            st.plotly_chart(chart, key=f"bars {task.name}", config={"displayModeBar": False}, alt=f"{title}: {told}")


def _table(tasks: Sequence[Task], models: Any, answers: Any, known: Any, loaded: LoadedModel) -> pd.DataFrame:
    """What each model tells of every task, and whether it is right; numbers where all of it are."""
    records = []
    for task in tasks:
        view, expected = loaded.views[task.name], known.values.get(task.name)
        if not any(answer.values[task.name] for answer in answers):
            continue  # another task tells it for all
        name = "all tasks" if view.joint else task.name.replace("_", " ")
        record: dict[str, Any] = {"task": name, "ground truth": view.cell(expected)}
        for number, (one, answer) in enumerate(zip(models, answers), start=1):
            values = answer.values[task.name]
            cell, mark = view.cell(values), view.mark(values, expected)
            record[f"{number}. {one.name}"] = f"{cell}{mark}" if mark else cell
        records.append(record)
    frame = pd.DataFrame(records)
    mixed = frame.map(lambda cell: isinstance(cell, str)).any(axis=None) and len({type(c) for c in frame.stack()}) > 1
    return frame.map(lambda cell: None if cell is None else str(cell)) if mixed else frame
