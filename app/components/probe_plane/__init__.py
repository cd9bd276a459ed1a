"""The plane of preferences as a component: heat maps to drag on, the simplex drawn in, and live predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from app.analysis.probes import Layer, ProbeMap
from app.assets import loader
from app.bench.view import View
from app.components.explorer import explorer_data
from app.library.loading import LoadedModel
from app.pictures import palettes

_HERE = Path(__file__).resolve().parent
_DIGITS = 5


def plane_data(
    loaded: LoadedModel,
    probe: ProbeMap,
    images: Sequence[tuple[str, str]],
    view: View,
    address: Mapping[str, str],
    command: dict[str, Any] | None = None,
    losses: bool = False,
) -> dict[str, Any]:
    """What the browser is told; pictures come over the live socket.

    Args:
        loaded: the model.
        probe: its map, as far as it is measured.
        images: (image id, label) of what can be chosen.
        view: what it begins with.
        address: what the browser's address says of it.
        command: ``{"id": n, "preference": λ}``; carried out once per id.
        losses: maps of the losses instead of the first metrics.
    """
    plane = probe.plane
    told = explorer_data(loaded, images, view, address)
    shown = [task for task in told["tasks"] if loaded.num_tasks <= 3 or task["name"] in _names(loaded, probe)]
    about = {
        "first": plane.first,
        "second": plane.second,
        "rest": plane.rest,
        "low": plane.low,
        "high": plane.high,
        "count": plane.num_tasks,
    }
    return {
        **{key: told[key] for key in ("model", "pictures", "images", "image", "preference", "seed", "address")},
        "tasks": shown,
        "titles": [task["title"] for task in told["tasks"]],
        "plane": about,
        "layers": [layer_data(layer) for layer in probe.layers(losses)],
        "ramp": list(palettes.VIRIDIS),
        "samples": probe.num_samples,
        "command": command,
    }


def layer_data(layer: Layer) -> dict[str, Any]:
    """One heat map as lists; unknown values are null, ``good`` and ``bad`` are the ends of its colours."""
    metric, values = layer.metric, layer.values
    known = values[np.isfinite(values)]
    higher = metric.higher_is_better
    good = float(known.max() if higher else known.min())
    # Errors grow without bound far out; colours stop a little beyond the line where a task is forgotten.
    bad = float(known.min() if higher else known.max())
    if not higher and layer.limit > good:
        bad = min(bad, 1.6 * layer.limit - 0.6 * good)
    rows = [[round(v, _DIGITS) if np.isfinite(v) else None for v in row] for row in values.tolist()]
    return {
        "task": layer.task.name,
        "label": metric.label,
        "unit": metric.unit,
        "higher": higher,
        "values": rows,
        "good": good,
        "bad": bad if bad != good else good - (1e-6 if higher else -1e-6),
        "limit": layer.limit,
        "best": layer.best,
        "chance": layer.chance,
        "uncertainty": layer.uncertainty if np.isfinite(layer.uncertainty) else None,
    }


def show_plane(key: str, data: dict[str, Any], on_view: Callable[[], None]) -> None:
    """Render it. ``on_view`` runs after every release, when ``session_state[key]["view"]`` holds image and λ."""
    _component()(key=key, data=data, on_view_change=on_view)


def _names(loaded: LoadedModel, probe: ProbeMap) -> set[str]:
    return {loaded.tasks[t].name for t in (probe.plane.first, probe.plane.second) if t is not None}


@cache
def _component() -> Any:
    import streamlit as st

    html = (_HERE / "probe.html").read_text(encoding="utf-8")
    # The explorer's panels are used here as they are, so its rules come along.
    css = "\n".join(
        path.read_text(encoding="utf-8") for path in (_HERE.parent / "explorer" / "explorer.css", _HERE / "probe.css")
    )
    return st.components.v2.component(
        "palora_probe", html=html, css=css, js=loader("probe_plane/main.js"), isolate_styles=False
    )
