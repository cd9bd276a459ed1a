"""One run as it is now: status, progress, newest figures, and what can be done with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import jobs
from app.components.train_panel import duration
from app.components.training_figures import pretty
from palora_core.errors import UserError

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


def panel(name: str, was_live: bool) -> None:
    """Status, progress and buttons of one run; draws itself again every second while the run is live."""
    try:
        job = jobs.job(name)
        events = jobs.read_events(jobs.folder_of(name))
    except UserError:
        st.rerun()
    if job.live != was_live:
        st.rerun()  # a full run sets or drops the timers
    head(job)
    last = next((e for e in reversed(events) if e["kind"] == "step"), None)
    if job.status in ("failed", "crashed"):
        st.error(job.message or "The run ended with an error; its log says more.", icon=":material/error:")
    if job.total_steps:
        st.progress(min(1.0, job.step / job.total_steps), text=progress_text(job, last))
    elif job.status == "queued":
        st.info("Waiting: another run is training. It starts by itself, also when this page is closed.")
    elif job.status == "starting":
        st.progress(0.0, text="Loading the data …")
    if last:
        numbers(job, events, last)


def head(job: jobs.Job) -> None:
    """Name, chip and what can be done."""
    colour, icon, meaning = CHIPS[job.status]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.subheader(job.name, anchor=False, width="content")
            st.badge(job.status, color=colour, icon=icon, help=meaning)
        with st.container(horizontal=True, horizontal_alignment="right", width="content"):
            buttons(job)
    if job.expands:
        st.caption(f"Pareto expansion of {job.expands}")


def buttons(job: jobs.Job) -> None:
    """Stop, resume, delete, open in Explore: what fits the status."""
    if job.status == "finished":
        model = f"run:{job.name}"
        st.page_link("pages/explore.py", label="Explore", icon=":material/tune:", query_params={"model": model})
        there = {"benchmark": job.benchmark, "models": model}
        st.page_link("pages/compare.py", label="Compare", icon=":material/leaderboard:", query_params=there)
        if not jobs.read_only():
            help_text = "Pareto expansion: train new adapters on top of this network."
            icon = ":material/open_in_full:"
            st.button("Expand", icon=icon, key="expand", help=help_text, on_click=expand, args=(model,))
    if jobs.read_only():
        return
    if job.status in ("queued", "starting", "running"):
        label = "Take out of the queue" if job.status == "queued" else "Stop"
        st.button(label, icon=":material/stop:", key="stop", on_click=act, args=(jobs.stop, job.name))
    if job.status in ("stopped", "failed", "crashed"):
        icon = ":material/play_arrow:"
        st.button("Resume", icon=icon, key="resume", type="primary", on_click=act, args=(jobs.resume, job.name))
    if not job.live:
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown(f"Delete **{job.name}** with its weights and its front? This cannot be undone.")
            st.button("Yes, delete it", key="delete", type="primary", on_click=act, args=(jobs.delete, job.name))


def expand(model: str) -> None:
    """Go to the form of an expansion that starts from ``model``."""
    st.session_state["kind"] = "expansion"
    st.query_params.from_dict({"run": "new", "from": model})


def act(what: Any, name: str) -> None:
    """Do what a button says; say why not where it can't be done."""
    try:
        what(name)
        if what is jobs.delete:
            st.query_params.pop("run", None)
    except UserError as error:
        st.toast(str(error), icon=":material/error:")
    st.session_state["acted"] = time.time()


def progress_text(job: jobs.Job, last: Mapping[str, Any] | None) -> str:
    """Step, epoch and time left."""
    text = f"step {job.step:,} of {job.total_steps:,}"
    if job.status == "running" and last and job.step < job.total_steps:
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
        place.metric(f"{pretty(task)} loss", f"{loss:.4g}" if loss is not None else "–", border=True)
    value = f"{front['hypervolume']:.4f}" if front and front["hypervolume"] is not None else "–"
    places[-1].metric("hypervolume (val.)", value, border=True)
