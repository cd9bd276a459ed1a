"""What the Probe page shows below its maps: bars on and off the simplex, adapters switched off, norms and angles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st
import torch

from app.analysis.probes import MOST_SAMPLES, Layer, ProbeMap
from app.bench.view import View
from app.components import probe_figures as figures
from app.components.plain import plain
from app.library.loading import LoadedModel
from app.pictures.scenes import SAMPLE, labelled
from palora_core.evaluation import probing

SECTIONS = ("On and off the simplex", "Switch adapters off", "Inside the adapters")
# Below the maps, answers follow every click; more pictures would make them wait.
FEW_SAMPLES = 16
BARE = {"displayModeBar": False}
NORMS = "Size of every task's adapters, layer by layer"
COSINES = "Angles between the adapters of two tasks, layer by layer"


def sections(loaded: LoadedModel, probe: ProbeMap, see: Callable[[], View]) -> None:
    """One of three views below the maps; ``see`` gives this session's image and λ as they are now."""
    if loaded.measured is None:
        inside(loaded)
        return
    chosen = st.segmented_control(
        "Section", SECTIONS, default=SECTIONS[0], key="probe_section", label_visibility="collapsed"
    )
    if chosen == SECTIONS[1]:
        arithmetic(loaded, probe, see())
    elif chosen == SECTIONS[2]:
        inside(loaded)
    else:
        bars(probe)


def bars(probe: ProbeMap) -> None:
    """Figure 5 of the paper for this model."""
    pair = (probe.plane.first, probe.plane.second or 0)
    trained = list(probing.control_preferences(probe.plane.num_tasks, *pair))
    order = [*trained, *probing.pseudo_preferences(probe.plane.num_tasks, *pair)]
    named, layers = probe.named(), probe.layers()
    if not layers or any(name not in named for name in order):
        st.caption("The bars appear as soon as the first points are measured.")
        return
    figure = figures.preference_bars(
        [layer.task for layer in layers],
        [layer.metric for layer in layers],
        {name: named[name] for name in order},
        [(layer.chance, layer.limit) for layer in layers],
        trained,
    )
    st.plotly_chart(figure, key="probe_bars", config=BARE, alt="Every task on and off the simplex")
    st.caption(
        "Full colour: preferences the network was trained on; pale: pseudo-preferences. ✗ and hatching: forgotten. "
        "Dotted: the best answer that never looks at the input. "
        f"Measured on {probe.num_samples} items{spread(layers)}."
    )


def spread(layers: Sequence[Layer]) -> str:
    """How far the figures may be off for their few items, in words."""
    known = [layer for layer in layers if np.isfinite(layer.uncertainty)]
    parts = []
    for layer in known:
        size = layer.uncertainty
        told = f"{100 * size:.1f} points" if layer.metric.unit == "%" else f"{size:.2g} {layer.metric.unit}".strip()
        parts.append(f"{figures.pretty(layer.task.name)} ± {told}")
    return f" (95 % interval: {', '.join(parts)})" if parts else ""


def arithmetic(loaded: LoadedModel, probe: ProbeMap, own: View) -> None:
    """Switches for every depth group and task, with the metrics and pictures that result."""
    basis = loaded.model.basis()
    if not basis:
        st.info("The weights of this model are not a sum of one part per task, so none can be switched off.")
        return
    groups = probing.depth_groups(list(basis))
    tasks = shown_tasks(loaded, probe)
    left, right = st.columns([1, 2.6], gap="medium")
    with left:
        text = probing.written(own.preference, (probe.plane.first, probe.plane.second or 0))
        st.caption(
            f"At λ = {text}. Switched off: that task's adapters are left out of these layers. "
            f"Measured on {min(_most_samples(loaded), probe.num_samples)} items."
        )
        kept = {group: switches(loaded, group, len(names), tasks) for group, names in groups.items()}
        st.button("Use the λ of the maps", key="probe_sync", icon=":material/sync:", help="after dragging the marker")
    off = {name: [t for t in tasks if t not in kept[group]] for group, names in groups.items() for name in names}
    with right:
        compare(loaded, own, off, tasks)


def shown_tasks(loaded: LoadedModel, probe: ProbeMap) -> list[int]:
    """All of up to three tasks; of more, the two of the plane."""
    return list(range(loaded.num_tasks)) if loaded.num_tasks <= 3 else [probe.plane.first, probe.plane.second or 0]


def switches(loaded: LoadedModel, group: str, count: int, tasks: list[int]) -> list[int]:
    """The tasks whose adapters stay on in a group of layers."""
    names = {t: figures.pretty(loaded.tasks[t].name) for t in tasks}
    label = f"**{group.capitalize()}** · {count} layer{'s' if count > 1 else ''}"
    key = f"probe_on_{loaded.entry.id}_{group}_{'-'.join(map(str, tasks))}"
    chosen = st.pills(label, tasks, selection_mode="multi", default=tasks, format_func=names.__getitem__, key=key)
    return list(chosen)


def compare(loaded: LoadedModel, own: View, off: dict[str, list[int]], tasks: list[int]) -> None:
    """Metrics of the whole and of the reduced network, and the reduced one's picture of the sample on screen."""
    whole, part = evaluated(loaded, own.preference, {}), evaluated(loaded, own.preference, off)
    label = dict(labelled(loaded)).get(own.image)
    shown = predicted(loaded, own.preference, off, own.image) if label else None
    columns = st.columns(len(tasks))
    for column, t in zip(columns, tasks):
        task = loaded.tasks[t]
        metric = task.metrics[0]
        key = f"{task.name}/{metric.name}"
        name = figures.pretty(task.name).capitalize()
        before, after = whole[key], part[key]
        colour = "normal" if metric.higher_is_better else "inverse"
        delta = (
            f"{100 * (after - before):+.1f} points" if metric.unit == "%" else f"{after - before:+.3g} {metric.unit}"
        )
        changed = abs(after - before) > 1e-9
        with column:
            value = figures.metric_text(metric, after)
            st.metric(f"{name}, {metric.label}", value, delta if changed else None, delta_color=colour, border=True)
            if shown is not None and task in loaded.predicting:
                picture(loaded, t, shown[task.name], f"{name}, {label}")
    if shown is None:
        st.caption("Your own picture is not among the samples; choose a sample to see it with these adapters.")


def picture(loaded: LoadedModel, t: int, prediction: torch.Tensor, name: str) -> None:
    """The prediction of one item: as a picture, or in words."""
    view = loaded.views[loaded.tasks[t].name]
    if view.pictured:
        told = f"{name} with these adapters"
        st.image(view.draw(prediction).to_rgb(), caption=told, width="stretch", output_format="PNG", alt=told)
        return
    st.caption(plain(f"prediction: {'; '.join(text for _, text in view.rows(view.values(prediction)))}"))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={LoadedModel: lambda loaded: loaded.key})
def evaluated(loaded: LoadedModel, preference: list[float], off: dict[str, list[int]]) -> dict[str, float]:
    """Values on the test items, with some adapters left out."""
    items = loaded.measured
    assert items is not None
    most = min(_most_samples(loaded), len(items))
    x, targets = items.batch(torch.arange(most))
    return probing.score(_outputs(loaded, preference, off, x), targets, loaded.tasks, loaded.places(items, most))


def predicted(
    loaded: LoadedModel, preference: list[float], off: dict[str, list[int]], image: str
) -> dict[str, torch.Tensor]:
    """The predictions for one sample, without the batch dimension, with some adapters left out."""
    assert loaded.samples is not None  # ``image`` is one of them
    x, _ = loaded.samples.batch(torch.tensor([int(image.removeprefix(SAMPLE))]))
    outputs = _outputs(loaded, preference, off, x)
    return {name: prediction[0].clone() for name, prediction in loaded.predictions(outputs).items()}


def _outputs(loaded: LoadedModel, preference: list[float], off: dict[str, list[int]], x: Any) -> Any:
    torch.set_num_threads(1)
    network = probing.partly_merged(loaded.model, torch.tensor(preference), off)
    with torch.inference_mode():
        return loaded.caller(network, x)


def _most_samples(loaded: LoadedModel) -> int:
    return loaded.most_items(FEW_SAMPLES if loaded.entry.pictured else MOST_SAMPLES)


def inside(loaded: LoadedModel) -> None:
    """Norms of the adapters and angles between the tasks' ones, layer by layer."""
    report = probing.adapter_report(loaded.model)
    if report is None:
        st.info("The weights of this model are not a sum of one part per task, so there is nothing to compare.")
        return
    names = [task.name for task in loaded.tasks]
    if len(names) == 1:
        st.plotly_chart(figures.adapter_norms(report, names), key="probe_norms", config=BARE, alt=NORMS)
        return
    left, right = st.columns(2)
    left.plotly_chart(figures.adapter_norms(report, names), key="probe_norms", config=BARE, alt=NORMS)
    right.plotly_chart(figures.adapter_cosines(report, names), key="probe_cosines", config=BARE, alt=COSINES)
    left.caption("How much each task's adapters change a layer at full weight, relative to the weights they change.")
    right.caption("1: two tasks pull a layer the same way; 0: they do not meet; −1: they pull against each other.")
