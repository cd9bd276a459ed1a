"""Explore: steer one network along its front and watch its predictions."""

from __future__ import annotations

import hashlib
from typing import Any

import streamlit as st

from app import state
from app.components.ask_panel import ask_panel
from app.components.downloads import downloads
from app.components.explorer import explorer_data, show_explorer
from app.components.finder import finder, wishes_of
from app.components.journal_panel import decision_panel, journal_panel
from app.components.limits import limits_data
from app.components.plain import plain
from app.components.shortlist import shortlist_data
from app.components.train_here import lesson_link
from app.folders import key_of
from app.library.loading import LoadedModel
from app.pictures.scenes import note
from app.services import services
from app.settings import ROOT
from palora_core.benchmarks.base import origin
from palora_core.errors import UserError
from palora_core.methods.base import methods

TEXTS = ROOT / "app" / "texts"


def page() -> None:
    """Lay out the page, or say what is missing."""
    registry = services().registry
    entries = registry.entries(st.query_params.get("model", ""))
    if not entries:
        st.title("Explore")
        st.info((TEXTS / "no_models.md").read_text(encoding="utf-8"))
        return
    entry = state.choose_model(entries)
    try:
        with st.spinner("Loading the model …", show_time=False):
            loaded = registry.get(entry.id)
    except UserError as error:
        st.title("Explore")
        st.error(plain(str(error)), icon=":material/broken_image:")
        st.markdown("Choose another model in the sidebar, or put this one right and reload the page.")
        return
    sidebar(loaded)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(plain(loaded.entry.title), anchor=False, width="content")
        beside = st.container(
            horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content", gap="xsmall"
        )
        with beside:
            tools(loaded)
    for problem in loaded.problems:
        st.warning(plain(problem), icon=":material/info:")
    off = state.view(loaded).off
    if off:
        told = ", ".join(f"{value:g}" for value in off).replace("-", "−")
        st.info(f"λ = ({told}) is off the simplex: the Probe page shows it. Here stands the last λ on the simplex.")
    problem = state.link_problems()
    if problem:
        st.warning(plain(problem), icon=":material/link_off:")
    if not state.images(loaded):
        bring_own(loaded)
    explorer(loaded)


def bring_own(loaded: LoadedModel) -> None:
    """What a person can do where no samples travel with a model."""
    own = loaded.input_view
    if not own.input.suffixes:
        st.info(f"No samples travel with this model, and {own.input.kind} inputs cannot be sent here.")
        return
    st.info(
        f"No samples travel with this model: send a {own.noun} of your own, and drag λ to see what it is taken for.",
        icon=own.icon,
    )
    if loaded.card.get("licence"):
        st.caption(plain(loaded.card["licence"]))
    with st.container(width=420):
        own_input(loaded)


def sidebar(loaded: LoadedModel) -> None:
    """What this model is, in a few lines."""
    method = str(loaded.card["method"].get("name", ""))
    method = getattr(methods.get(method), "title", "") or method if method in methods else method
    names = [task.name.replace("_", " ") for task in loaded.tasks]
    tasks = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    count = f"{len(names)} tasks" if len(names) > 1 else "one task"
    title = loaded.benchmark.title or loaded.entry.benchmark
    data = origin(loaded.benchmark)
    data = f" ({data})" if data and "synthetic" not in title else ""
    st.sidebar.caption(f"**{method}** on **{title}**{data} · {count}: {tasks}")
    with st.sidebar.expander("How to use this page", icon=":material/help:"):
        st.markdown((TEXTS / "explore.md").read_text(encoding="utf-8"))


def tools(loaded: LoadedModel) -> None:
    """A model of one's own, own inputs, wishes, download."""
    lesson_link(loaded.entry.benchmark)
    own = loaded.input_view
    if own.input.suffixes and state.images(loaded):
        if st.session_state.pop("input_taken", False):
            st.session_state["own_input"] = False  # closed: the result is what is to be seen now
        with st.popover(f"Your {own.noun}", icon=own.icon, key="own_input", on_change="rerun"):
            own_input(loaded)
    if loaded.front is not None and loaded.num_tasks > 1 and loaded.model.controllable:
        place = st.popover("Find a preference", icon=":material/search:", key="finding", on_change="rerun")
        with place, st.container(width=380):
            by_limits, by_asking = st.tabs(["Limits", "Ask me"])
            with by_limits:
                finder(loaded)
            if place.open:
                with by_asking:
                    ask_panel(loaded)
    if loaded.num_tasks > 1 and loaded.model.controllable:
        place = st.popover("Decide", icon=":material/gavel:", key="deciding", on_change="rerun")
        if place.open:
            with place, st.container(width=420):
                decision, journal = st.tabs(["Decision", "Journal"])
                with decision:
                    decision_panel(loaded)
                with journal:
                    journal_panel(loaded)
    place = st.popover("Download", icon=":material/download:", key="downloads", on_change="rerun")
    if place.open:  # opening it runs the page, so that it stands for the λ on screen
        view = state.view(loaded)
        label = dict(state.images(loaded)).get(view.image, "")
        with place, st.container(width=330):
            downloads(loaded, view.image, label, view.preference, view.seed)


def own_input(loaded: LoadedModel) -> None:
    """A form for an input of one's own."""
    sent = loaded.input_view.send()
    if sent is None:
        st.caption("It stays in this server's memory for an hour and is never written to disk.")
        return
    if take_input(loaded, *sent):
        st.session_state["input_taken"] = True
        st.rerun()


def take_input(loaded: LoadedModel, data: bytes, name: str) -> bool:
    """Read an input once and show it in the explorer, or say why not; whether there is a new one."""
    kind = loaded.input_view.input
    digest = f"{kind.kind} {hashlib.sha256(data).hexdigest()}"
    if st.session_state.get("taken") == digest:
        return False
    try:
        shown = kind.read(data)
        if kind.takes(shown):
            kind.to_input(shown)  # what the network cannot read is said here, where it was sent
        token = services().uploads.put(shown, name)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return False
    st.session_state["taken"] = digest
    state.add_upload(token, name)
    state.send(loaded, image=token)
    return True


def take_edit(loaded: LoadedModel, values: Any) -> None:
    """Show an input with the fields that a person changed, in the place of the one changed before."""
    if not isinstance(values, dict):
        return
    try:
        shown = loaded.input_view.edited(values)
    except UserError as error:
        st.session_state["edit_problem"] = str(error)
        return
    noun = f"your {loaded.input_view.noun}"
    token = services().uploads.put(shown, noun)
    state.add_upload(token, noun, st.session_state.get("edited", ""))
    st.session_state["edited"] = token
    state.send(loaded, image=token)


@st.fragment
def explorer(loaded: LoadedModel) -> None:
    """The component; a release reruns only this fragment."""
    view, images = state.view(loaded), state.images(loaded)
    if not images and loaded.front is None:
        return
    key = f"explorer-{key_of(loaded.entry.id)}"  # folders have any name, components have not

    def viewed() -> None:
        reported: Any = st.session_state.get(key)
        state.remember(loaded, reported["view"] if reported else None)

    def edited() -> None:
        reported: Any = st.session_state.get(key)
        take_edit(loaded, (reported or {}).get("edit"))

    problem = st.session_state.pop("edit_problem", "")
    if problem:
        st.error(plain(problem), icon=":material/edit_off:")
    reported: Any = st.session_state.get(key)
    shortlist = shortlist_data(
        loaded, view.shortlist, view.image, ((reported or {}).get("view") or {}).get("shortlist")
    )
    told = limits_data(loaded, view.preference, wishes_of(loaded, view))
    data = explorer_data(loaded, images, view, state.address(loaded), state.command(loaded), shortlist, told)
    for image in data["images"]:
        image["note"] = note(loaded, image["id"], services().uploads)
        # Figures of the split are about other data.
        image["foreign"] = bool(image["note"]) and loaded.going is None and loaded.input_view.foreign
    show_explorer(key, data, viewed, edited)


page()
