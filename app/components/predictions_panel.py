"""The part of the Compare page that shows one image through two models at the same λ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app import state
from app.components import compare_view as view
from app.components import fronts, side_by_side
from app.components.plain import plain
from app.components.preference_input import preference_input
from app.library.contenders import Arena
from app.library.entries import PICTURED
from app.library.loading import LoadedModel
from app.library.series import Series
from app.pictures.scenes import labelled, sample_ids, task_names
from app.services import services
from palora_core.errors import UserError

MOST_BARS = 6  # classifications with a figure each; a table has room for more


def predictions(arena: Arena, shown: Sequence[Series]) -> None:
    """One image through two of the models at the same λ."""
    models = {one.members[0].id: one for one in shown if not one.published}
    if models:
        st.subheader("Predictions side by side", anchor=False)
        try:
            _predictions(arena, models)
        except UserError as error:
            st.error(plain(str(error)), icon=":material/broken_image:")
    view.end()


def _predictions(arena: Arena, models: dict[str, Series]) -> None:
    ids, places = list(models), st.columns([1, 1, 1, 2], gap="medium")
    with places[0]:
        chosen = [_model("First", "first", ids, 0, models)]
    if len(ids) > 1:
        with places[1]:
            chosen.append(_model("Second", "second", ids, 1, models))
    loaded = [services().registry.get(model) for model in chosen]
    if not sample_ids(loaded[0]):
        st.info("The first of these models came without samples, so there is nothing to predict.")
        return
    with places[2]:
        image = _image(loaded[0])
    with places[3]:
        preference = choose_preference(loaded)
    answers = [side_by_side.predict(services(), chosen[0], image, preference)]
    if len(chosen) > 1:
        answers.append(side_by_side.predict_on(services(), *loaded, image, preference))
    known = side_by_side.truth(services(), chosen[0], image)
    show_predictions(arena, [models[model] for model in chosen], answers, known, loaded[0])


def _model(label: str, name: str, ids: Sequence[str], usual: int, models: dict[str, Series]) -> str:
    """One of the models; part of the address."""
    key = f"{name}_model"
    view.restore(name, key, ids)
    st.session_state.setdefault(key, ids[usual])
    chosen: str = st.selectbox(label, ids, format_func=lambda model: models[model].name, key=key)
    view.tell(name, chosen, ids[usual])
    return chosen


def _image(loaded: LoadedModel) -> str:
    """One of the first model's samples; the one that was last looked at on any page."""
    images, own = sample_ids(loaded), state.view(loaded)
    view.restore("sample", "compare_image", images)
    if "compare_image" not in st.session_state:
        st.session_state["compare_image"] = own["image"] if own["image"] in images else images[0]
    chosen: str = st.selectbox("Image", images, format_func=dict(labelled(loaded)).get, key="compare_image")
    own["image"] = chosen
    view.tell("sample", chosen)
    return chosen


def choose_preference(loaded: Sequence[LoadedModel]) -> list[float]:
    """λ for models that have one; it is the λ of these models on all pages, and part of the address."""
    num_tasks, steered = loaded[0].num_tasks, [one for one in loaded if one.model.controllable]
    if num_tasks == 1:
        return [1.0]
    if not steered:
        st.caption("Single solutions: each is one network with one trade-off, so there is no λ to choose.")
        return [1 / num_tasks] * num_tasks
    linked = state.parse_preference(view.asked("preference") or "", num_tasks)
    names = [task.name.replace("_", " ") for task in loaded[0].tasks]
    chosen = preference_input(names, linked or state.view(steered[0])["preference"])
    for one in steered:
        state.view(one)["preference"] = chosen
    view.tell("preference", ",".join(f"{value:g}" for value in chosen))
    return chosen


def show_predictions(
    arena: Arena,
    models: Sequence[Series],
    answers: Sequence[side_by_side.Answer],
    known: side_by_side.Answer,
    loaded: Any,
) -> None:
    """A row per pictured task (truth, first, second), bars for classes, a table for numbers."""
    pictured = [task for task in arena.tasks if task.kind in PICTURED]
    for task in pictured:
        title = task.name.replace("_", " ")
        places = st.columns(4 if task is pictured[0] else [1, 1, 1, 1], gap="small")
        if task is pictured[0] and "input" in known.pictures:
            places[0].image(known.pictures["input"], "input", width="stretch", alt="input picture")
        if task.name in known.pictures:
            told = f"{title}, ground truth"
            places[1].image(known.pictures[task.name], told, width="stretch", alt=told)
        for place, one, answer in zip(places[2:], models, answers):
            told = f"{one.name}: {_scores(task, answer)}"
            fixed = "" if one.steered else ". One solution: λ does not change it"
            place.image(answer.pictures[task.name], plain(told + fixed), width="stretch", alt=f"{title} of {told}")
    classes = [task for task in arena.tasks if task.kind == "classification"]
    if classes and "input" in known.pictures:
        left, right = st.columns([1, 4], gap="medium")
        left.image(known.pictures["input"], "input", width="stretch", alt="input picture")
    else:
        right = st.container()
    with right:
        if len(classes) > MOST_BARS:
            st.dataframe(_classes(classes, models, answers, known, loaded), hide_index=True, key="classes")
        else:
            _class_bars(classes, models, answers, known, loaded)
    numbers = [task for task in arena.tasks if task.kind == "regression"]
    if numbers:
        st.dataframe(_numbers(numbers, models, answers, known), hide_index=True, key="numbers")


def _scores(task: Any, answer: side_by_side.Answer) -> str:
    values = answer.metrics.get(task.name, {})
    parts = [f"{m.label} {m.format(values[m.name])}" for m in task.metrics[:1] if values.get(m.name) is not None]
    return ", ".join(parts) or task.name.replace("_", " ")


def _class_bars(classes: Any, models: Any, answers: Any, known: Any, loaded: Any) -> None:
    for place, task in zip(st.columns(max(1, min(3, len(classes)))) * len(classes), classes):
        names = task_names(loaded, task)["classes"] or [str(i) for i in range(task.out_channels)]
        given = [(one.name, fronts.style_of(one), a.values[task.name]) for one, a in zip(models, answers)]
        with place:
            st.markdown(f"**{task.name.replace('_', ' ')}**")
            chart = side_by_side.bars(given, known.values.get(task.name), names)
            told = _told(task, models, answers)
            st.plotly_chart(chart, key=f"bars {task.name}", config={"displayModeBar": False}, alt=told)


def _told(task: Any, models: Any, answers: Any) -> str:
    tops = (f"{one.name} {answer.values[task.name]['top']}" for one, answer in zip(models, answers))
    return f"Probabilities of {task.name.replace('_', ' ')}; most likely: {', '.join(tops)}"


def _classes(tasks: Any, models: Any, answers: Any, known: Any, loaded: Any) -> pd.DataFrame:
    """Many classifications in a table: what each model takes for the likeliest, how sure it is, and whether it is."""
    records = []
    for task in tasks:
        names = task_names(loaded, task)["classes"] or [str(i) for i in range(task.out_channels)]
        truth = (known.values.get(task.name) or {}).get("top")
        record = {"task": task.name.replace("_", " "), "ground truth": None if truth is None else names[truth]}
        for number, (one, answer) in enumerate(zip(models, answers), start=1):
            given = answer.values[task.name]
            mark = "" if truth is None else " ✓" if given["top"] == truth else " ✗"
            record[f"{number}. {one.name}"] = f"{names[given['top']]} ({max(given['probabilities']):.0%}){mark}"
        records.append(record)
    return pd.DataFrame(records)


def _numbers(tasks: Any, models: Any, answers: Any, known: Any) -> pd.DataFrame:
    records = []
    for task in tasks:
        record: dict[str, Any] = {"task": task.name}
        expected = (known.values.get(task.name) or {}).get("numbers")
        record["ground truth"] = expected[0] if expected else None
        for number, (one, answer) in enumerate(zip(models, answers), start=1):
            record[f"{number}. {one.name}"] = answer.values[task.name]["numbers"][0]
        records.append(record)
    return pd.DataFrame(records)
