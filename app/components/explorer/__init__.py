"""The explorer: pad, sliders, live pictures and the evaluated front as one component."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from app.analysis.effects import sentence
from app.analysis.even_steps import even_steps
from app.analysis.queries import columns
from app.assets import loader
from app.bench.view import View
from app.library.loading import LoadedModel
from palora_core.evaluation.front import Front

_HERE = Path(__file__).resolve().parent


def explorer_data(
    loaded: LoadedModel,
    images: Sequence[tuple[str, str]],
    view: View,
    address: Mapping[str, str],
    command: dict[str, Any] | None = None,
    shortlist: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What the browser is told; everything else comes over the live socket.

    Args:
        loaded: the model.
        images: (image id, label) of what can be chosen.
        view: what it begins with.
        address: what the browser's address says of it.
        command: ``{"id": n, "preference": …, "image": …}``; carried out once per id.
        shortlist: see :func:`app.components.shortlist.shortlist_data`.
        told: see :func:`app.components.limits.limits_data`.
    """
    return {
        "model": loaded.entry.id,
        "tasks": [_task(loaded, index) for index in range(loaded.num_tasks)],
        "controllable": loaded.model.controllable,
        "pictures": loaded.input_view.pictured,
        "images": [{"id": image_id, "label": label} for image_id, label in images],
        "chosen": _chosen(loaded),
        "image": view.image,
        "preference": list(view.preference),
        "seed": view.seed,
        "shortlist": dict(shortlist or {"candidates": [], "against": "", "revision": 0}),
        "address": dict(address),
        "front": None if loaded.front is None else front_data(loaded, loaded.front),
        "even": None if loaded.front is None else even_steps(loaded.front),
        "told": told or {"feasible": None, "meets": None, "sentences": []},
        "command": command,
    }


def front_data(loaded: LoadedModel, front: Front) -> dict[str, Any]:
    """The front as lists: preferences [K, T], columns, which points are not dominated, what λ changes."""
    split = front.about.get("split", "test")
    return {
        "preferences": front.preferences.round(5).tolist(),
        "columns": [column.to_json() for column in columns(front, loaded.tasks)],
        "nondominated": front.nondominated().tolist(),
        "effect": sentence(front, loaded.tasks),
        "about": f"{split} split, {len(front.preferences)} point{'s' * (len(front.preferences) != 1)}",
    }


def show_explorer(
    key: str, data: dict[str, Any], on_view: Callable[[], None], on_edit: Callable[[], None] = lambda: None
) -> None:
    """Render it. ``on_view`` runs after every release, when ``session_state[key]["view"]`` holds image and λ.

    ``on_edit`` runs after a field of the input was changed, when ``session_state[key]["edit"]`` holds all of them.
    """
    _component()(key=key, data=data, on_view_change=on_view, on_edit_change=on_edit)


@cache
def _component() -> Any:
    import streamlit as st

    html, css = ((_HERE / f"explorer.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    # Styles are not isolated: plotly puts its own rules into the document, where a shadow root would not see them.
    return st.components.v2.component(
        "palora_explorer", html=html, css=css, js=loader("explorer/main.js"), isolate_styles=False
    )


def _chosen(loaded: LoadedModel) -> str:
    """By what rule the samples were chosen, for people."""
    count = 0 if loaded.samples is None else loaded.samples.chosen
    if not count or loaded.samples is None:
        return ""
    rest = len(loaded.samples) - count
    return (
        f"Samples 1 to {count} are those of the test split that λ changes most between corners, most first; the other "
        f"{rest} are its first ones, as they come. Figures of the test split are of all its items."
    )


def _task(loaded: LoadedModel, index: int) -> dict[str, Any]:
    task = loaded.tasks[index]
    view = loaded.views[task.name]
    return {
        "name": task.name,
        "title": task.name.replace("_", " ").capitalize(),
        "view": view.kind,
        "policy": view.policy,
        "pictured": view.pictured,
        "joint": view.joint,
        "metrics": [
            {
                "key": f"{task.name}/{metric.name}",
                "name": metric.name,
                "label": metric.label,
                "unit": metric.unit,
                "higher": metric.higher_is_better,
            }
            for metric in task.metrics
        ],
    }
