"""One run as it is now: status, progress, newest figures, and what can be done with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import jobs
from app.components.plain import plain
from app.components.train_panel import duration
from app.components.training_figures import pretty
from app.jobs import naming
from palora_core.errors import UserError
from palora_core.storage.notes import MOST_OF_NAME, MOST_OF_TEXT

CHIPS = {  # status → (colour, icon, what it means)
    "new": ("gray", ":material/radio_button_unchecked:", "not started"),
    "queued": ("gray", ":material/hourglass_empty:", "waiting for its turn"),
    "starting": ("blue", ":material/autorenew:", "loading its data"),
    "running": ("blue", ":material/play_circle:", "training"),
    "stopping": ("orange", ":material/pending:", "saving its state"),
    "stopped": ("orange", ":material/pause_circle:", "can be resumed"),
    "failed": ("red", ":material/error:", "ended with an error"),
    "crashed": ("red", ":material/bolt:", "the process is gone"),
    "finished": ("green", ":material/check_circle:", "done"),
}


def panel(name: str, title: str, was_live: bool) -> None:
    """Status, progress and buttons of one run; draws itself again every second while the run is live."""
    try:
        job = jobs.job(name)
        events = jobs.read_events(jobs.folder_of(name))
    except UserError:
        st.rerun()
    if job.live != was_live:
        st.rerun()  # a full run sets or drops the timers
    head(job, title)
    if job.problem:
        st.warning(plain(job.problem), icon=":material/broken_image:")
    last = next((e for e in reversed(events) if e["kind"] == "step"), None)
    if job.status in ("failed", "crashed"):
        st.error(plain(job.message) or "The run ended with an error; its log says more.", icon=":material/error:")
    if job.total_steps:
        st.progress(min(1.0, job.step / job.total_steps), text=progress_text(job, last))
    elif job.status == "queued":
        st.info("Waiting: another run is training. It starts by itself, also when this page is closed.")
    elif job.status == "starting":
        st.progress(0.0, text="Loading the data …")
    if last:
        numbers(job, events, last)


def head(job: jobs.Job, title: str) -> None:
    """Name, chip, what can be done, what was set and what a person says about it."""
    colour, icon, meaning = CHIPS[job.status]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.subheader(plain(title), anchor=False, width="content")
            st.badge(job.status, color=colour, icon=icon, help=meaning)
        beside = st.container(
            horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content"
        )
        with beside:
            buttons(job)
    if job.note.text:
        st.text(job.note.text)
    if job.note.tags:
        with st.container(horizontal=True, gap="small"):
            for tag in job.note.tags:
                st.badge(plain(tag), color="gray", icon=":material/label:")
    told = [plain(naming.described(job.settings))] if job.note.name and job.settings else []
    if job.note.name and job.expands:
        told.insert(0, f"Pareto expansion of {plain(job.expands)}")
    st.caption(" · ".join([*told, f"folder `{job.name}`"]))


def buttons(job: jobs.Job) -> None:
    """Stop, resume, delete, open in Explore: what fits the status."""
    if job.status == "finished":
        model = f"run:{job.name}"
        st.page_link("pages/explore.py", label="Explore", icon=":material/tune:", query_params={"model": model})
        there = {"benchmark": model, "models": model}
        st.page_link("pages/compare.py", label="Compare", icon=":material/leaderboard:", query_params=there)
        help_text = "Pareto expansion: train new adapters on top of this network."
        icon = ":material/open_in_full:"
        if not jobs.read_only() and st.button("Expand", icon=icon, key="expand", help=help_text):
            expand(model)
    if jobs.read_only():
        return
    if job.status in ("queued", "starting", "running"):
        label = "Take out of the queue" if job.status == "queued" else "Stop"
        st.button(label, icon=":material/stop:", key="stop", on_click=act, args=(jobs.stop, job.name))
    if job.status in ("stopped", "failed", "crashed"):
        icon = ":material/play_arrow:"
        st.button("Resume", icon=icon, key="resume", type="primary", on_click=act, args=(jobs.resume, job.name))
    with st.popover("Name, tags and note", icon=":material/edit_note:"):
        name_and_note(job)
    if not job.live:
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown(f"Delete **{plain(job.title)}** with its weights and its front? This cannot be undone.")
            st.button("Yes, delete it", key="delete", type="primary", on_click=act, args=(jobs.delete, job.name))


def name_and_note(job: jobs.Job) -> None:
    """The form with which a person names a run; it keeps what is being typed while the panel draws itself again."""
    with st.form(f"note {job.name}", border=False):
        said = "Without a name it is called by its settings."
        name = st.text_input("Name", job.note.name, max_chars=MOST_OF_NAME, placeholder=job.title, help=said)
        tags = st.text_input("Tags", ", ".join(job.note.tags), placeholder="baseline, lr study", max_chars=200)
        text = st.text_area("Note", job.note.text, max_chars=MOST_OF_TEXT, height=120)
        if not st.form_submit_button("Keep", type="primary"):
            return
    try:
        jobs.describe(job.name, name, text, tags)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.rerun()


def expand(model: str) -> None:
    """Go to the form of an expansion that starts from ``model``: all of the page changes, not only the panel."""
    st.session_state["kind"] = "expansion"
    st.session_state["expand.source"] = model
    st.query_params.from_dict({"run": "new", "from": model})
    st.rerun()


def settings(job: jobs.Job) -> None:
    """Everything the run was trained with, what differs from the defaults first."""
    try:
        every = naming.settings_of(jobs.config_of(job.name))
    except UserError:
        every = {}
    own = dict(job.settings)
    rows = [{"setting": path, "value": value, "": "changed"} for path, value in own.items()]
    rows += [
        {"setting": path, "value": jobs.as_text(value), "": ""} for path, value in every.items() if path not in own
    ]
    with st.expander("Settings", icon=":material/tune:"):
        if not every:
            st.caption("The training process writes down all settings when it begins.")
        if rows:
            st.dataframe(rows, hide_index=True, height="auto" if len(rows) < 10 else 300, key="settings")


def act(what: Any, name: str) -> None:
    """Do what a button says; say why not where it can't be done."""
    try:
        what(name)
        if what is jobs.delete:
            st.query_params.pop("run", None)
    except UserError as error:
        st.toast(plain(str(error)), icon=":material/error:")
    st.session_state["acted"] = time.time()


def progress_text(job: jobs.Job, last: Mapping[str, Any] | None) -> str:
    """Step, epoch and time left."""
    text = f"step {job.step:,} of {job.total_steps:,}"
    if job.status == "running" and last and last["seconds_left"] is not None and job.step < job.total_steps:
        text += f" · {duration(last['seconds_left'])} left"
    if job.status == "running" and job.step >= job.total_steps:
        text += " · evaluating on the test split"
    return text


def numbers(job: jobs.Job, events: list[dict[str, Any]], last: Mapping[str, Any]) -> None:
    """The newest figures in a row."""
    start = next(e for e in reversed(events) if e["kind"] == "start")
    front = next((e for e in reversed(events) if e["kind"] == "front"), None)
    places = st.columns(len(start["tasks"][:4]) + 2)
    places[0].metric("epoch", f"{last['epoch']} / {start['epochs']}", border=True)
    for place, task, loss in zip(places[1:-1], start["tasks"], last["losses"]):
        place.metric(f"{plain(pretty(task))} loss", f"{loss:.4g}" if loss is not None else "–", border=True)
    value = f"{front['hypervolume']:.4f}" if front and front["hypervolume"] is not None else "–"
    places[-1].metric("hypervolume (val.)", value, border=True)
