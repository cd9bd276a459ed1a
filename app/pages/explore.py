"""Explore: steer one network along its front and watch its predictions."""

from __future__ import annotations

import hashlib
from typing import Any

import streamlit as st

from app import state
from app.components.downloads import downloads
from app.components.explorer import explorer_data, show_explorer
from app.components.finder import finder
from app.library.loading import LoadedModel
from app.pictures.uploads import SUFFIXES, decode_image
from app.services import services
from app.settings import MAX_UPLOAD_BYTES, ROOT
from palora_core.errors import UserError
from palora_core.methods.base import methods

TEXTS = ROOT / "app" / "texts"


def page() -> None:
    """Lay out the page, or say what is missing."""
    registry = services().registry
    entries = registry.entries()
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
        st.error(str(error), icon=":material/broken_image:")
        st.markdown("Choose another model in the sidebar, or put this one right and reload the page.")
        return
    sidebar(loaded)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(loaded.entry.title, anchor=False, width="content")
        with st.container(horizontal=True, horizontal_alignment="right", width="content", gap="xsmall"):
            tools(loaded)
    for problem in loaded.problems:
        st.warning(problem, icon=":material/info:")
    explorer(loaded)


def sidebar(loaded: LoadedModel) -> None:
    """What this model is, in a few lines."""
    method = str(loaded.card["method"].get("name", ""))
    method = getattr(methods.get(method), "title", "") or method if method in methods else method
    names = [task.name.replace("_", " ") for task in loaded.tasks]
    tasks = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    count = f"{len(names)} tasks" if len(names) > 1 else "one task"
    title = loaded.benchmark.title or loaded.entry.benchmark
    data = " (synthetic data)" if loaded.benchmark.synthetic and "synthetic" not in title else ""
    st.sidebar.caption(f"**{method}** on **{title}**{data} · {count}: {tasks}")
    with st.sidebar.expander("How to use this page", icon=":material/help:"):
        st.markdown((TEXTS / "explore.md").read_text(encoding="utf-8"))


def tools(loaded: LoadedModel) -> None:
    """Own pictures, wishes, download."""
    if loaded.has_pictures:
        with st.popover("Your picture", icon=":material/add_photo_alternate:"):
            own_picture(loaded)
    if loaded.front is not None and loaded.num_tasks > 1:
        with st.popover("Find a preference", icon=":material/search:"), st.container(width=380):
            finder(loaded)
    place = st.popover("Download", icon=":material/download:", key="downloads", on_change="rerun")
    if place.open:  # opening it runs the page, so that it stands for the λ on screen
        view = state.view(loaded)
        label = dict(state.images(loaded)).get(view["image"], "")
        with place, st.container(width=330):
            downloads(loaded, view["image"], label, tuple(view["preference"]))


def own_picture(loaded: LoadedModel) -> None:
    """Upload or snapshot."""
    source = st.segmented_control(
        "Source", ["File", "Camera"], default="File", key="source", label_visibility="collapsed"
    )
    if source == "Camera":
        sent = st.camera_input("Take a picture", key="camera", label_visibility="collapsed")
    else:
        limit = MAX_UPLOAD_BYTES // 2**20
        sent = st.file_uploader(f"A picture, up to {limit} MB", type=list(SUFFIXES), key="file")
    if sent is None:
        st.caption("It stays in this server's memory for an hour and is never written to disk.")
        return
    take_picture(loaded, sent.getvalue(), sent.name)


def take_picture(loaded: LoadedModel, data: bytes, name: str) -> None:
    """Decode a picture once and show it in the explorer, or say why not."""
    digest = hashlib.sha256(data).hexdigest()
    if st.session_state.get("taken") == digest:
        return
    try:
        token = services().uploads.put(decode_image(data), name)
    except UserError as error:
        st.error(str(error), icon=":material/broken_image:")
        return
    st.session_state["taken"] = digest
    state.add_upload(token, name)
    state.send(loaded, image=token)


@st.fragment
def explorer(loaded: LoadedModel) -> None:
    """The component; a release reruns only this fragment."""
    view, images = state.view(loaded), state.images(loaded)
    if not images:
        st.info("This model came without samples; add a picture of your own to see it at work.")
        if loaded.front is None:
            return
    key = f"explorer-{loaded.entry.id}"

    def viewed() -> None:
        reported: Any = st.session_state.get(key)
        state.remember(loaded, reported["view"] if reported else None)

    data = explorer_data(loaded, images, view["image"], view["preference"], state.command(loaded))
    show_explorer(key, data, viewed)
    state.write_url(loaded)


page()
