"""The part of the Compare page that shows one image through two models at the same λ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components import fronts, side_by_side
from app.library.contenders import Arena, Series
from app.library.entries import PICTURED
from app.pictures.scenes import labelled, sample_ids, task_names
from app.services import services
from palora_core.errors import UserError

MOST_BARS = 6  # classifications with a figure each; a table has room for more


def predictions(arena: Arena, shown: Sequence[Series]) -> None:
    """One image through two of the models at the same λ."""
    models = {one.members[0].id: one for one in shown if not one.published}
    if not models:
        return
    st.subheader("Predictions side by side", anchor=False)
    ids, places = list(models), st.columns([1, 1, 1, 2], gap="medium")

    def name(model: str) -> str:
        return models[model].name

    chosen = [places[0].selectbox("First", ids, 0, format_func=name, key="first_model")]
    if len(ids) > 1:
        chosen.append(places[1].selectbox("Second", ids, 1, format_func=name, key="second_model"))
    try:
        loaded = [services().registry.get(model) for model in chosen]
        images = sample_ids(loaded[0])
        if not all(sample_ids(one) for one in loaded):
            st.info("One of these models came without samples, so there is nothing to predict.")
            return
        image = places[2].selectbox("Image", images, format_func=dict(labelled(loaded[0])).get, key="compare_image")
        with places[3]:
            preference = choose_preference([task.name for task in arena.tasks])
        if len(loaded) > 1 and not side_by_side.same_image(*loaded, image):
            st.warning("The two models came with different samples: these are not predictions of the same image.")
        answers = [side_by_side.predict(services(), model, image, preference) for model in chosen]
        known = side_by_side.truth(services(), chosen[0], image)
    except UserError as error:
        st.error(str(error), icon=":material/broken_image:")
        return
    show_predictions(arena, [models[model] for model in chosen], answers, known, loaded[0])


def choose_preference(tasks: Sequence[str]) -> list[float]:
    """λ: a slider for two tasks, a slider per task for three, a choice of corners beyond."""
    names = [task.replace("_", " ") for task in tasks]
    if len(tasks) == 1:
        return [1.0]
    if len(tasks) == 2:
        weight = st.slider(f"λ: weight of {names[1]}", 0.0, 1.0, 0.5, 0.02, key="weight", persist_state="session")
        return [1 - weight, weight]
    if len(tasks) == 3:
        with st.container(horizontal=True):
            raw = [st.slider(n, 0.0, 1.0, 0.5, 0.05, key=f"weight{t}", width=120) for t, n in enumerate(names)]
        total = sum(raw)
        return [v / total for v in raw] if total else [1 / 3] * 3
    corner = st.selectbox("λ", ["all tasks alike", *names], key="corner")
    if corner not in names:
        return [1 / len(tasks)] * len(tasks)
    return [float(name == corner) for name in names]


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
            place.image(answer.pictures[task.name], told, width="stretch", alt=f"{title} of {told}")
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
