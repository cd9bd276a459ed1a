"""What a session remembers on all pages: the chosen model, per model its view, per problem shortlist and journal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import streamlit as st

from app.analysis.queries import columns
from app.bench.journal import Journal
from app.bench.preferences import checked
from app.bench.shortlist import Shortlist
from app.bench.view import PARAMETERS, Frame, View, checked_seed
from app.components import address_bar
from app.library.entries import Entry
from app.library.loading import LoadedModel
from app.pictures.scenes import labelled, sample_ids
from app.services import services
from palora_core.errors import UserError

MAX_UPLOADS_SHOWN = 8
# More models than this are chosen in two steps.
MANY = 15


def choose_model(entries: Sequence[Entry]) -> Entry:
    """The model choice in the sidebar; a link that was just followed or this session's last choice stands in it.

    Where there are many models, their group (shipped, own runs, a collection) is chosen first.
    """
    by_id = {entry.id: entry for entry in entries}
    link = address_bar.followed("model", PARAMETERS)
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


def problem_of(loaded: LoadedModel) -> str:
    """What models must have in common to be weighed against each other: the benchmark and the tasks in their order."""
    return " ".join([loaded.entry.benchmark, *(task.name for task in loaded.tasks)])


def frame(loaded: LoadedModel) -> Frame:
    """What may stand in a view of a model."""
    keys = () if loaded.front is None else tuple(column.key for column in columns(loaded.front, loaded.tasks))
    return Frame(loaded.entry.id, loaded.num_tasks, sample_ids(loaded), keys)


def view(loaded: LoadedModel) -> View:
    """What this session sees of a model, the same on all pages: see :class:`app.bench.view.View`."""
    views: dict[str, View] = st.session_state.setdefault("views", {})
    if loaded.entry.id not in views:
        centre = checked([1 / loaded.num_tasks] * loaded.num_tasks, loaded.num_tasks)
        assert centre is not None
        views[loaded.entry.id] = View(loaded.entry.id, centre, (sample_ids(loaded) or [""])[0])
    shared = _shared(loaded)
    link = st.session_state.get("link") or {}
    if link.get("model") == loaded.entry.id:
        st.session_state["link"] = None
        followed, problems = replace(views[loaded.entry.id], **shared).followed(link, frame(loaded))
        st.session_state["link_problems"] = problems
        return _keep(loaded, followed)
    return replace(views[loaded.entry.id], **shared)


def _shared(loaded: LoadedModel) -> dict[str, Any]:
    """What views of all models of a problem have in common: shortlist and decision."""
    found: dict[str, Any] = st.session_state.setdefault("shared", {}).get(problem_of(loaded), {})
    return found


def link_problems() -> str:
    """What of a link that was just followed could not be used, in a sentence; once."""
    problems = st.session_state.pop("link_problems", [])
    return f"Left out of this link: {'; '.join(problems)}." if problems else ""


def journal(loaded: LoadedModel) -> Journal:
    """What this session did with models of a model's problem."""
    found: Journal = st.session_state.setdefault("journals", {}).get(problem_of(loaded), Journal())
    return found


def update(loaded: LoadedModel, new: View) -> View:
    """Take over another view of a model, and note in the journal what is new about it."""
    seen = journal(loaded).seen(view(loaded), new)
    st.session_state["journals"][problem_of(loaded)] = seen
    return _keep(loaded, new)


def undo(loaded: LoadedModel) -> None:
    """Take back the last step of the journal."""
    undone, before = journal(loaded).undone()
    if before is not None:
        st.session_state["journals"][problem_of(loaded)] = undone
        look(loaded, _keep(loaded, _here(loaded, before)))


def show(loaded: LoadedModel, there: View, said: str) -> None:
    """Bring back a view of the journal, shortlist, limits and all: a step of its own."""
    back = _keep(loaded, _here(loaded, there))
    st.session_state["journals"][problem_of(loaded)] = journal(loaded).add("returned", said, back)
    look(loaded, back)


def look(loaded: LoadedModel, there: View) -> None:
    """Have the explorer show the λ and the input of a view, and nothing else change."""
    there = _here(loaded, there)
    _keep(loaded, replace(view(loaded), image=there.image).at(there.preference))
    command_explorer(loaded, preference=list(there.preference), image=there.image)


def _here(loaded: LoadedModel, there: View) -> View:
    """A view of the journal as one of this model: one of another model gives what both have in common."""
    now = view(loaded)
    image = there.image if there.image in [image for image, _ in images(loaded)] else now.image
    return replace(there, model=now.model, image=image, bounds=there.bounds if there.model == now.model else now.bounds)


def _keep(loaded: LoadedModel, new: View) -> View:
    st.session_state.setdefault("views", {})[loaded.entry.id] = new
    shared = {"shortlist": new.shortlist, "decision": new.decision}
    st.session_state.setdefault("shared", {})[problem_of(loaded)] = shared
    return new


def remember(loaded: LoadedModel, seen: Any) -> None:
    """Take over what a component reports (image, λ and the shortlist), if it makes sense."""
    if not isinstance(seen, dict):
        return
    new = view(loaded).at(checked(seen.get("preference"), loaded.num_tasks))
    if seen.get("image") in [image for image, _ in images(loaded)]:
        new = replace(new, image=seen["image"])
    new = replace(new, seed=checked_seed(seen.get("seed", new.seed)) or 0)
    if "shortlist" in seen:
        with suppress(UserError):  # what no page of ours sends is left alone
            new = replace(new, shortlist=Shortlist.from_json(seen["shortlist"], loaded.num_tasks))
    update(loaded, new)


def address(loaded: LoadedModel, off: bool = False) -> dict[str, str]:
    """What reproduces the view, for the browser to write; people's own pictures are not in it.

    Args:
        loaded: the model.
        off: whether the page shows λ off the simplex.
    """
    return address_bar.told("model", view(loaded).to_link(sample_ids(loaded), off))


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


def send(loaded: LoadedModel, preference: Sequence[float] | None = None, image: str | None = None) -> None:
    """Have the explorer go to a ``preference`` or an ``image`` at the next rendering."""
    new = view(loaded).at(checked(list(preference), loaded.num_tasks) if preference is not None else None)
    update(loaded, new if image is None else replace(new, image=image))
    command_explorer(
        loaded,
        **({} if preference is None else {"preference": list(new.preference)}),
        **({} if image is None else {"image": image}),
    )


def command_explorer(loaded: LoadedModel, **what: Any) -> None:
    """Leave a command for the explorer: what it is to show besides what it was told."""
    number = st.session_state.get("command_number", 0) + 1
    st.session_state["command_number"] = number
    st.session_state["command"] = {"id": number, "model": loaded.entry.id, **what}


def command(loaded: LoadedModel) -> dict[str, Any] | None:
    """The last command, if it was for this model."""
    last = st.session_state.get("command")
    return last if last and last["model"] == loaded.entry.id else None
