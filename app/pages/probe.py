"""Probe: leave the simplex, take adapters away, and see what the network forgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from app import state
from app.analysis.probes import AUTOMATIC, FINEST, ProbeMap, maps
from app.bench.preferences import Preference, checked
from app.bench.view import View
from app.components import probe_figures as figures
from app.components.plain import plain
from app.components.probe_plane import plane_data, show_plane
from app.components.probe_sections import sections
from app.folders import key_of
from app.library.loading import LoadedModel
from app.services import services
from app.settings import ROOT
from palora_core.errors import UserError
from palora_core.evaluation import probing
from palora_core.evaluation.probing import Plane

TEXTS = ROOT / "app" / "texts"
LESSONS = ROOT / "app" / "lessons"


def page() -> None:
    """Lay out the page, or say what is missing."""
    entries = services().registry.entries(st.query_params.get("model", ""))
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
        st.error(plain(str(error)), icon=":material/broken_image:")
        st.markdown("Choose another model in the sidebar, or put this one right and reload the page.")
        return
    with st.sidebar.expander("What this page shows", icon=":material/help:"):
        st.markdown((LESSONS / "probe.md").read_text(encoding="utf-8"))
    st.subheader(f"Probe: {plain(loaded.entry.title)}", anchor=False)
    reason = unfit(loaded)
    if reason:
        st.info(reason, icon=":material/info:")
        return
    if loaded.measured is None:
        st.info(told_without_items(loaded), icon=":material/info:")
    probe = maps.get(loaded, choose_plane(loaded))
    if probe.asked > AUTOMATIC and not probe.stopped and not probe.problem:
        probe.start()
    st.fragment(plane, run_every=1.5 if probe.running else None)(loaded, probe, probe.running)
    st.fragment(sections, run_every=2 if probe.running and not probe.named() else None)(
        loaded, probe, lambda: view(loaded, probe)
    )


def unfit(loaded: LoadedModel) -> str | None:
    """Why a model cannot be probed, or None."""
    if not loaded.model.controllable:
        return "This model is one network for one trade-off: it has no preference to probe. Choose another one."
    if loaded.measured is None and not loaded.bare:
        return "This model came without samples, so there is nothing to measure it on; choose another one."
    return None


def told_without_items(loaded: LoadedModel) -> str:
    """What this page has of a model without items to measure on."""
    noun = loaded.input_view.noun
    shown = f"Drag to see what your {noun} is taken for, on the simplex and off it."
    return (
        "No samples travel with this model, so no map can be measured here. "
        f"{shown if state.images(loaded) else f'Send a {noun} of your own on the Explore page, then drag here.'}"
    )


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


def view(loaded: LoadedModel, probe: ProbeMap) -> View:
    """This session's image, and its λ as far as it lies in the plane; otherwise a point of the plane to begin at."""
    shared = state.view(loaded)
    preference: Preference | None = shared.off or shared.preference
    if loaded.num_tasks > 3 and not probe.plane.holds(preference, 1e-3):  # of three, any λ can be shown
        controls = probing.control_preferences(loaded.num_tasks, probe.plane.first, probe.plane.second or 0)
        preference = checked(list(controls.values())[-1], loaded.num_tasks)
    return replace(shared, preference=preference or shared.preference)


def go_to(loaded: LoadedModel, probe: ProbeMap, preference: list[float]) -> None:
    """Have the maps jump to a λ (a button's callback)."""
    state.update(loaded, state.view(loaded).at(checked(preference, loaded.num_tasks)))
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
        take_away(loaded, probe)
        st.space("stretch")
        choice = st.segmented_control(
            "Quantity", ["Metric", "Loss"], default="Metric", key="probe_quantity", label_visibility="collapsed"
        )
        if loaded.measured is not None:
            progress(probe)
    if probe.problem:
        st.error(plain(probe.problem), icon=":material/error:")
    own, key = view(loaded, probe), f"probe-{key_of(loaded.entry.id, pair)}"

    def viewed() -> None:
        reported: Any = st.session_state.get(key)
        state.remember(loaded, reported["view"] if reported else None)

    command = st.session_state.get("probe_command")
    command = command if command and command["model"] == loaded.entry.id else None
    images = state.images(loaded)
    address = state.address(loaded, off=True)
    data = plane_data(loaded, probe, images, own, address, command, choice == "Loss")
    show_plane(key, data, viewed)


def take_away(loaded: LoadedModel, probe: ProbeMap) -> None:
    """One task without another: λ = e_i − e_j, which of three tasks lies beside the plane of the maps."""
    if loaded.num_tasks != 3:
        return
    names = [figures.pretty(task.name) for task in loaded.tasks]
    with st.popover("Take away", icon=":material/remove_circle:", help="one task without another"):
        kept = st.selectbox("Keep", range(3), 0, format_func=names.__getitem__, key="probe_kept")
        gone = st.selectbox("Without", range(3), 1, format_func=names.__getitem__, key="probe_gone")
        preference = [float(t == kept) - float(t == gone) for t in range(3)]
        told = probing.written(preference)
        st.button(f"Go to {told}", key="probe_away", on_click=go_to, args=(loaded, probe, preference))


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
    st.caption(
        f"on {probe.num_samples} items",
        width="content",
        help="± is half of a 95 % interval in the middle of the simplex: how far a figure may be off because it is "
        "measured on so few items. Maps of a handful of pictures show tendencies.",
    )


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


page()
