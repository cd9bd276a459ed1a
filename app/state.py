"""What a session remembers: the chosen model, and per model the image and λ; mirrored in the URL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.library.entries import Entry
from app.library.loading import LoadedModel
from app.pictures.scenes import labelled, sample_ids
from app.serving.protocol import LIMIT

MAX_UPLOADS_SHOWN = 8
# More models than this are chosen in two steps.
MANY = 15


def choose_model(entries: Sequence[Entry]) -> Entry:
    """The model choice in the sidebar; a link or the last choice of this session decides where it begins.

    Where there are many models, their group (shipped, own runs, a collection) is chosen first.
    """
    by_id = {entry.id: entry for entry in entries}
    wanted = st.session_state.get("chosen_model") or st.query_params.get("model")
    best = max(
        entries, key=lambda entry: (not entry.problem, not entry.is_run, not entry.in_collection, entry.pictured)
    )
    start = by_id.get(wanted or "", best)
    groups = list(dict.fromkeys(entry.group for entry in entries))
    if len(groups) > 1 and len(entries) > MANY:
        if st.session_state.get("group") not in groups:
            st.session_state["group"] = start.group
        names = {entry.group: entry.group_title for entry in entries}
        group = st.sidebar.selectbox("Group", groups, key="group", format_func=lambda g: names.get(g, g))
        entries = [entry for entry in entries if entry.group == group]
    ids = [entry.id for entry in entries]
    if st.session_state.get("model") not in ids:
        st.session_state["model"] = start.id if start.id in ids else ids[0]
    titles = {entry.id: ("⚠ " if entry.problem else "") + entry.short_title for entry in entries}
    chosen = st.sidebar.selectbox(
        "Model", ids, key="model", format_func=lambda model_id: titles.get(model_id, model_id)
    )
    st.session_state["chosen_model"] = chosen
    return entries[ids.index(chosen)]


def view(loaded: LoadedModel) -> dict[str, Any]:
    """The image and λ of this session for a model; from the URL at first. The dictionary may be changed in place."""
    views = st.session_state.setdefault("views", {})
    if loaded.entry.id not in views:
        samples = sample_ids(loaded)
        from_url = st.query_params if st.query_params.get("model") == loaded.entry.id else {}
        sample = from_url.get("sample")
        preference = parse_preference(from_url.get("preference", ""), loaded.num_tasks)
        views[loaded.entry.id] = {
            "image": sample if sample in samples else (samples or [""])[0],
            "preference": preference or [1 / loaded.num_tasks] * loaded.num_tasks,
        }
    return views[loaded.entry.id]


def remember(loaded: LoadedModel, seen: Any) -> None:
    """Take over what a component reports (image and λ), if it makes sense, and put it into the URL."""
    own = view(loaded)
    if not isinstance(seen, dict):
        return
    preference = checked_preference(seen.get("preference"), loaded.num_tasks)
    if preference is not None:
        own["preference"] = preference
    if seen.get("image") in [image for image, _ in images(loaded)]:
        own["image"] = seen["image"]
    write_url(loaded)


def write_url(loaded: LoadedModel) -> None:
    """Make the address reproduce this view; people's own pictures are not in it."""
    own = view(loaded)
    parameters = {"model": loaded.entry.id, "preference": ",".join(f"{v:g}" for v in own["preference"])}
    if own["image"] in sample_ids(loaded):
        parameters["sample"] = own["image"]
    if dict(st.query_params) != parameters:
        st.query_params.from_dict(parameters)


def images(loaded: LoadedModel) -> list[tuple[str, str]]:
    """(image id, label) of the samples of a model and of this session's own pictures."""
    own = [(token, name) for token, name in st.session_state.get("uploads", [])]
    return labelled(loaded) + own * loaded.has_pictures


def add_upload(token: str, name: str) -> None:
    """Remember a picture that this session sent."""
    uploads = st.session_state.setdefault("uploads", [])
    uploads.append((token, name))
    del uploads[:-MAX_UPLOADS_SHOWN]


def send(loaded: LoadedModel, **what: Any) -> None:
    """Have the explorer go to a ``preference`` or an ``image`` at the next rendering."""
    number = st.session_state.get("command_number", 0) + 1
    st.session_state["command_number"] = number
    st.session_state["command"] = {"id": number, "model": loaded.entry.id, **what}
    view(loaded).update(what)


def command(loaded: LoadedModel) -> dict[str, Any] | None:
    """The last command, if it was for this model."""
    last = st.session_state.get("command")
    return last if last and last["model"] == loaded.entry.id else None


def parse_preference(text: str, num_tasks: int) -> list[float] | None:
    """λ from ``"0.3,0.7"``; None if it is not T finite numbers."""
    try:
        return checked_preference([float(part) for part in text.split(",")], num_tasks)
    except ValueError:
        return None


def checked_preference(value: Any, num_tasks: int) -> list[float] | None:
    """λ [T] as floats within the limits, or None."""
    if not isinstance(value, list | tuple) or len(value) != num_tasks:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in value):
        return None
    return [min(LIMIT, max(-LIMIT, float(v))) for v in value]
