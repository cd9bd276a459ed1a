"""What a session remembers on all pages: the chosen model, and per model the image, λ and what is pinned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.analysis.queries import on_simplex
from app.components import address_bar
from app.library.entries import Entry
from app.library.loading import LoadedModel
from app.pictures.scenes import labelled, sample_ids
from app.services import services
from app.serving.protocol import LIMIT, MAX_SEED, snap

MAX_UPLOADS_SHOWN = 8
LINKED = ("model", "preference", "pinned", "sample", "seed")
# More models than this are chosen in two steps.
MANY = 15


def choose_model(entries: Sequence[Entry]) -> Entry:
    """The model choice in the sidebar; a link that was just followed or this session's last choice stands in it.

    Where there are many models, their group (shipped, own runs, a collection) is chosen first.
    """
    by_id = {entry.id: entry for entry in entries}
    link = address_bar.followed("model", LINKED)
    if link.get("model") in by_id:
        st.session_state["chosen_model"] = link["model"]
        st.session_state["link"] = link
    best = max(
        entries, key=lambda entry: (not entry.problem, not entry.is_run, not entry.in_collection, entry.pictured)
    )
    start = by_id.get(st.session_state.get("chosen_model") or "", best)
    groups = list(dict.fromkeys(entry.group for entry in entries))
    if len(groups) > 1 and len(entries) > MANY:
        start, entries = choose_group(entries, groups, start)
    titles = {entry.id: ("⚠ " if entry.problem else "") + entry.short_title for entry in entries}
    # Set at every run: a widget's own memory ends with its page.
    st.session_state["model"] = st.session_state["chosen_model"] = start.id
    st.sidebar.selectbox(
        "Model", list(titles), key="model", format_func=lambda model: titles.get(model, model), on_change=_chosen
    )
    return start


def choose_group(entries: Sequence[Entry], groups: Sequence[str], start: Entry) -> tuple[Entry, list[Entry]]:
    """The choice of a group, and what is in it; ``start`` stays if it is."""
    names = {entry.group: entry.group_title for entry in entries}
    st.session_state["group"] = start.group

    def changed() -> None:
        group = st.session_state["group"]
        st.session_state["chosen_model"] = next(entry.id for entry in entries if entry.group == group)

    group = st.sidebar.selectbox("Group", groups, key="group", format_func=lambda g: names.get(g, g), on_change=changed)
    return start, [entry for entry in entries if entry.group == group]


def _chosen() -> None:
    st.session_state["chosen_model"] = st.session_state["model"]


def view(loaded: LoadedModel) -> dict[str, Any]:
    """What this session sees of a model, the same on all pages; it may be changed in place.

    ``image``; ``preference``, λ [T]; ``pinned``, the λ to compare with, or None; ``seed`` of what is drawn at random;
    ``off``, a λ off the simplex that the Probe page stands at, or None.
    """
    views = st.session_state.setdefault("views", {})
    if loaded.entry.id not in views:
        centre = checked_preference([1 / loaded.num_tasks] * loaded.num_tasks, loaded.num_tasks)
        image = (sample_ids(loaded) or [""])[0]
        views[loaded.entry.id] = {"image": image, "preference": centre, "pinned": None, "seed": 0, "off": None}
    own = views[loaded.entry.id]
    link = st.session_state.get("link") or {}
    if link.get("model") == loaded.entry.id:
        st.session_state["link"] = None
        if link.get("sample") in sample_ids(loaded):
            own["image"] = link["sample"]
        move(own, parse_preference(link.get("preference", ""), loaded.num_tasks))
        own["pinned"] = parse_preference(link.get("pinned", ""), loaded.num_tasks) or own["pinned"]
        text = link.get("seed", "")
        own["seed"] = checked_seed(int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0)
    return own


def move(own: dict[str, Any], preference: list[float] | None) -> None:
    """Take a view to λ [T]; None leaves it where it is."""
    if preference is None:
        return
    own["off"] = None if on_simplex(preference) else preference
    own["preference"] = preference if on_simplex(preference) else own["preference"]


def remember(loaded: LoadedModel, seen: Any) -> None:
    """Take over what a component reports (image, λ and pinned λ), if it makes sense."""
    own = view(loaded)
    if not isinstance(seen, dict):
        return
    move(own, checked_preference(seen.get("preference"), loaded.num_tasks))
    if "pinned" in seen:
        own["pinned"] = checked_preference(seen["pinned"], loaded.num_tasks)
    own["seed"] = checked_seed(seen.get("seed", own["seed"]))
    if seen.get("image") in [image for image, _ in images(loaded)]:
        own["image"] = seen["image"]


def address(loaded: LoadedModel, off: bool = False) -> dict[str, str]:
    """What reproduces the view, for the browser to write; people's own pictures are not in it.

    Args:
        loaded: the model.
        off: whether the page shows λ off the simplex.
    """
    own = view(loaded)
    preference = own["off"] if off and own["off"] else own["preference"]
    told = {"model": loaded.entry.id, "preference": address_bar.written(preference)}
    if own["pinned"]:
        told["pinned"] = address_bar.written(own["pinned"])
    if own["image"] in sample_ids(loaded):
        told["sample"] = own["image"]
    if own["seed"]:
        told["seed"] = str(own["seed"])
    return address_bar.told("model", told)


def images(loaded: LoadedModel) -> list[tuple[str, str]]:
    """(image id, label) of this session's own inputs that a model takes, the newest first, and of its samples."""
    fits, uploads = loaded.input_view.input.takes, services().uploads
    own = [(token, name) for token, name in reversed(st.session_state.get("uploads", [])) if fits(uploads.peek(token))]
    return own + labelled(loaded)


def add_upload(token: str, name: str, instead: str = "") -> None:
    """Remember an input that this session sent, in the place of another one."""
    uploads = st.session_state.setdefault("uploads", [])
    uploads[:] = [kept for kept in uploads if kept[0] != instead]
    uploads.append((token, name))
    del uploads[:-MAX_UPLOADS_SHOWN]


def send(loaded: LoadedModel, **what: Any) -> None:
    """Have the explorer go to a ``preference`` or an ``image`` at the next rendering."""
    number = st.session_state.get("command_number", 0) + 1
    st.session_state["command_number"] = number
    st.session_state["command"] = {"id": number, "model": loaded.entry.id, **what}
    own = view(loaded)
    move(own, what.get("preference"))
    own["image"] = what.get("image", own["image"])


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


def checked_seed(value: Any) -> int:
    """A seed of what is drawn at random; 0 for what is none."""
    return value if type(value) is int and 0 <= value < MAX_SEED else 0


def checked_preference(value: Any, num_tasks: int) -> list[float] | None:
    """λ [T] within the limits, in the four decimals that all pages, files and the address have; or None."""
    if not isinstance(value, list | tuple) or len(value) != num_tasks:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in value):
        return None
    return list(snap([min(LIMIT, max(-LIMIT, float(v))) for v in value], exact=True))
