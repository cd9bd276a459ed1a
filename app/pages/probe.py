"""Probe: leave the simplex, take adapters away, and see what the network forgets."""

from __future__ import annotations

from typing import Any

import streamlit as st
import torch

from app import drawing, state
from app.components import probe_figures as figures
from app.components.probe_plane import plane_data, show_plane
from app.drawing import Style
from app.models import PICTURED, LoadedModel
from app.probes import AUTOMATIC, FINEST, ProbeMap, maps
from app.services import services
from app.settings import ROOT
from palora_core import probing
from palora_core.errors import UserError
from palora_core.probing import Plane

TEXTS = ROOT / "app" / "texts"
LESSONS = ROOT / "app" / "lessons"
SECTIONS = ("On and off the simplex", "Switch adapters off", "Inside the adapters")


def page() -> None:
    """Lay out the page, or say what is missing."""
    entries = services().registry.entries()
    if not entries:
        st.title("Probe", anchor=False)
        st.info((TEXTS / "no_models.md").read_text(encoding="utf-8"))
        return
    entry = state.choose_model(entries)
    try:
        with st.spinner("Loading the model …", show_time=False):
            loaded = services().registry.get(entry.id)
    except UserError as error:
        st.title("Probe", anchor=False)
        st.error(str(error), icon=":material/broken_image:")
        st.markdown("Choose another model in the sidebar, or put this one right and reload the page.")
        return
    with st.sidebar.expander("What this page shows", icon=":material/help:"):
        st.markdown((LESSONS / "probe.md").read_text(encoding="utf-8"))
    st.subheader(f"Probe: {loaded.entry.title}", anchor=False)
    reason = unfit(loaded)
    if reason:
        st.info(reason, icon=":material/info:")
        return
    probe = maps.get(loaded, choose_plane(loaded))
    if not probe.complete and not probe.stopped and not probe.problem:
        probe.start()
    st.fragment(plane, run_every=1 if probe.running else None)(loaded, probe, probe.running)
    st.fragment(sections, run_every=2 if probe.running and not probe.named() else None)(loaded, probe)


def unfit(loaded: LoadedModel) -> str | None:
    """Why a model cannot be probed, or None."""
    if not loaded.model.controllable:
        return "This model is one network for one trade-off: it has no preference to probe. Choose another one."
    if loaded.samples is None:
        return "This model came without samples, so there is nothing to measure it on; choose another one."
    return None


def choose_plane(loaded: LoadedModel) -> Plane:
    """The plane to show; of more than three tasks, two are chosen."""
    if loaded.num_tasks <= 3:
        return Plane.of(loaded.num_tasks)
    names = [figures.pretty(task.name) for task in loaded.tasks]
    st.caption(f"{loaded.num_tasks} tasks do not fit on a plane: choose two; all others weigh 0.")
    with st.container(horizontal=True):
        ids = range(loaded.num_tasks)
        first = st.selectbox("Across", ids, 0, format_func=names.__getitem__, key="probe_first", width=220)
        others = [t for t in ids if t != first]
        second = st.selectbox("Up", others, 0, format_func=names.__getitem__, key="probe_second", width=220)
    return Plane.of(loaded.num_tasks, first, second)


def view(loaded: LoadedModel, probe: ProbeMap) -> dict[str, Any]:
    """This session's image and λ for a plane; from the URL at first. It may be changed in place."""
    own = st.session_state.setdefault("probes", {})
    key = (loaded.entry.id, probe.plane)
    if key not in own:
        shared = state.view(loaded)
        from_url = st.query_params if st.query_params.get("model") == loaded.entry.id else {}
        linked = state.parse_preference(from_url.get("preference", ""), loaded.num_tasks)
        start = linked or shared["preference"]
        if not probe.plane.holds(start, 1e-3) and linked is None:
            controls = probing.control_preferences(loaded.num_tasks, probe.plane.first, probe.plane.second or 0)
            start = list(controls.values())[-1]
        own[key] = {"image": shared["image"], "preference": start}
    return own[key]


def go_to(loaded: LoadedModel, probe: ProbeMap, preference: list[float]) -> None:
    """Have the maps jump to a λ (a button's callback)."""
    view(loaded, probe)["preference"] = preference
    number = st.session_state.get("probe_command", {}).get("id", 0) + 1
    st.session_state["probe_command"] = {"id": number, "preference": preference, "model": loaded.entry.id}


def plane(loaded: LoadedModel, probe: ProbeMap, was_running: bool) -> None:
    """Buttons, progress and the maps; a release reruns only this fragment."""
    if probe.running != was_running:
        st.rerun()
    pair = (probe.plane.first, probe.plane.second or 0)
    points = probing.control_preferences(loaded.num_tasks, *pair) | probing.pseudo_preferences(loaded.num_tasks, *pair)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for name, preference in points.items():
            help_text = meaning(loaded, preference, probe)
            st.button(name, key=f"go{name}", help=help_text, on_click=go_to, args=(loaded, probe, preference))
        st.space("stretch")
        choice = st.segmented_control(
            "Quantity", ["Metric", "Loss"], default="Metric", key="probe_quantity", label_visibility="collapsed"
        )
        progress(probe)
    if probe.problem:
        st.error(probe.problem, icon=":material/error:")
    own, key = view(loaded, probe), f"probe-{loaded.entry.id}-{pair}"

    def viewed() -> None:
        reported: Any = st.session_state.get(key)
        take_over(loaded, own, reported["view"] if reported else None)

    command = st.session_state.get("probe_command")
    command = command if command and command["model"] == loaded.entry.id else None
    images = state.images(loaded)
    show_plane(key, plane_data(loaded, probe, images, own, command, choice == "Loss"), viewed)
    write_url(loaded, own)


def progress(probe: ProbeMap) -> None:
    """How far the map is, with a stop; when it rests, what more could be done."""
    if probe.running:
        share = probe.done / probe.total if probe.total else 0.0
        text = f"{probe.done} of {probe.total} points" if probe.total else "starting"
        st.progress(min(1.0, share), text=f"Grid of step {probe.step:g}: {text}", width=230)
        st.button("Stop", icon=":material/stop_circle:", key="probe_stop", on_click=probe.stop)
    elif not probe.complete or (probe.stopped and probe.complete > AUTOMATIC):
        st.button("Measure", icon=":material/play_circle:", key="probe_start", on_click=probe.start)
    elif probe.complete > FINEST:
        step = probe.complete / 2
        points = len(probe.plane.points(step)) - len(probe.plane.points(probe.complete))
        st.button(
            "Refine",
            icon=":material/grid_4x4:",
            key="probe_refine",
            help=f"Measure {points} more points, about {max(1, round(points * probe.seconds_each))} s.",
            on_click=probe.start,
            args=(step, float("inf")),
        )
    st.caption(f"on {probe.num_samples} samples", width="content")


def take_over(loaded: LoadedModel, own: dict[str, Any], seen: Any) -> None:
    """Keep what the component reports (image and λ), if it makes sense."""
    if not isinstance(seen, dict):
        return
    preference = state.checked_preference(seen.get("preference"), loaded.num_tasks)
    if preference is not None:
        own["preference"] = preference
    if seen.get("image") in [image for image, _ in state.images(loaded)]:
        own["image"] = seen["image"]


def write_url(loaded: LoadedModel, own: dict[str, Any]) -> None:
    """Make the address reproduce this view."""
    wanted = {"model": loaded.entry.id, "preference": ",".join(f"{value:g}" for value in own["preference"])}
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def meaning(loaded: LoadedModel, preference: list[float], probe: ProbeMap) -> str:
    """What a point of the plane stands for, in words."""
    names = [figures.pretty(task.name) for task in loaded.tasks]
    gone = [names[t] for t, value in enumerate(preference) if value < 0]
    kept = [names[t] for t, value in enumerate(preference) if value > 0]
    if not any(preference):
        return "The base network alone: what all tasks share."
    if gone:
        return f"Take {' and '.join(gone)} away" + (
            f", keep {' and '.join(kept)}." if kept else ": chance is expected."
        )
    return f"On the simplex: {' and '.join(kept)}."


# -- below the maps ------------------------------------------------------------------------------------------------
def sections(loaded: LoadedModel, probe: ProbeMap) -> None:
    """One of three views below the maps."""
    chosen = st.segmented_control(
        "Section", SECTIONS, default=SECTIONS[0], key="probe_section", label_visibility="collapsed"
    )
    if chosen == SECTIONS[1]:
        arithmetic(loaded, probe)
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
    st.plotly_chart(figure, key="probe_bars", config={"displayModeBar": False})
    st.caption(
        "Full colour: preferences the network was trained on; pale: pseudo-preferences. ✗ and hatching: forgotten. "
        f"Dotted: the best answer that never looks at the input. Measured on {probe.num_samples} samples."
    )


def arithmetic(loaded: LoadedModel, probe: ProbeMap) -> None:
    """Switches for every depth group and task, with the metrics and pictures that result."""
    basis = loaded.model.basis()
    if not basis:
        st.info("The weights of this model are not a sum of one part per task, so none can be switched off.")
        return
    own, groups = view(loaded, probe), probing.depth_groups(list(basis))
    tasks = shown_tasks(loaded, probe)
    left, right = st.columns([1, 2.6], gap="medium")
    with left:
        text = probing.written(own["preference"], (probe.plane.first, probe.plane.second or 0))
        st.caption(f"At λ = {text}. Switched off: that task's adapters are left out of these layers.")
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
    label = f"**{group.capitalize()}** · {count} layers"
    key = f"probe_on_{loaded.entry.id}_{group}_{'-'.join(map(str, tasks))}"
    chosen = st.pills(label, tasks, selection_mode="multi", default=tasks, format_func=names.__getitem__, key=key)
    return list(chosen)


def compare(loaded: LoadedModel, own: dict[str, Any], off: dict[str, list[int]], tasks: list[int]) -> None:
    """Metrics of the whole and of the reduced network, and the reduced one's picture of the sample on screen."""
    whole, part = evaluated(loaded, own["preference"], {}), evaluated(loaded, own["preference"], off)
    index = int(own["image"].removeprefix("sample-")) if own["image"].startswith("sample-") else 0
    columns = st.columns(len(tasks))
    for column, t in zip(columns, tasks):
        task = loaded.tasks[t]
        metric, key = task.metrics[0], f"{task.name}/{task.metrics[0].name}"
        name = figures.pretty(task.name).capitalize()
        before, after = whole["values"][key], part["values"][key]
        colour = "normal" if metric.higher_is_better else "inverse"
        delta = (
            f"{100 * (after - before):+.1f} points" if metric.unit == "%" else f"{after - before:+.3g} {metric.unit}"
        )
        changed = abs(after - before) > 1e-9
        with column:
            shown = figures.metric_text(metric, after)
            st.metric(f"{name}, {metric.label}", shown, delta if changed else None, delta_color=colour, border=True)
            picture(loaded, t, part["outputs"][task.name][index % len(part["outputs"][task.name])], name)


def picture(loaded: LoadedModel, t: int, prediction: torch.Tensor, name: str) -> None:
    """The prediction of one item: as a picture, or in words."""
    task = loaded.tasks[t]
    if task.kind in PICTURED:
        style = Style(*loaded.depth_ranges.get(task.name, (0.0, 1.0)))
        drawn = drawing.draw_prediction(task, prediction, style).to_rgb()
        st.image(drawn, caption=f"{name} with these adapters", width="stretch", output_format="PNG")
        return
    told = drawing.values(task, prediction)
    if "top" in told:
        st.caption(f"prediction: {told['top']}, with probability {max(told['probabilities']):.0%}")
    else:
        st.caption(f"prediction: {told['numbers'][0]:.4g}")


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={LoadedModel: lambda loaded: loaded.key})
def evaluated(loaded: LoadedModel, preference: list[float], off: dict[str, list[int]]) -> dict[str, Any]:
    """Values on the samples, and the predictions, with some adapters left out."""
    torch.set_num_threads(1)
    samples = loaded.samples
    assert samples is not None
    x, targets = samples.batch(torch.arange(min(16, len(samples))))
    network = probing.partly_merged(loaded.model, torch.tensor(preference), off)
    with torch.inference_mode():
        outputs = network(x)
    kept = {name: output.clone() for name, output in outputs.items()}
    return {"values": probing.score(outputs, targets, loaded.tasks), "outputs": kept}


def inside(loaded: LoadedModel) -> None:
    """Norms of the adapters and angles between the tasks' ones, layer by layer."""
    report = probing.adapter_report(loaded.model)
    if report is None:
        st.info("The weights of this model are not a sum of one part per task, so there is nothing to compare.")
        return
    names = [task.name for task in loaded.tasks]
    if len(names) == 1:
        st.plotly_chart(figures.adapter_norms(report, names), key="probe_norms", config={"displayModeBar": False})
        return
    left, right = st.columns(2)
    left.plotly_chart(figures.adapter_norms(report, names), key="probe_norms", config={"displayModeBar": False})
    right.plotly_chart(figures.adapter_cosines(report, names), key="probe_cosines", config={"displayModeBar": False})
    left.caption("How much each task's adapters change a layer at λ_t = 1, relative to the weights they change.")
    right.caption("1: two tasks pull a layer the same way; 0: they do not meet; −1: they pull against each other.")


page()
