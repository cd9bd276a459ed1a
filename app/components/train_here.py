"""Training one model where a person reads about it: a button, the front as it grows, and the way to the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from app import jobs
from app.components.plain import plain
from app.components.run_panel import CHIPS, progress_text
from palora_core.errors import UserError

LESSONS = {"fairness": "7"}  # benchmarks that train in seconds → the step of Learn where a person does it
POLL = 0.7  # seconds between two looks at a run


def train_here(key: str, order: jobs.Order, draw: Callable[[list[dict[str, Any]]], None]) -> None:
    """A button that puts ``order`` into the queue, and what became of the run that this session started last.

    Args:
        key: of the widgets, and of the run in the session.
        order: what to train.
        draw: shows the ``front`` events of the run so far, the newest last.
    """
    if jobs.read_only():
        st.info("Training is switched off on this server.", icon=":material/lock:")
        return
    if st.button("Train it now", icon=":material/play_arrow:", type="primary", key=f"{key}_go"):
        try:
            st.session_state[key] = jobs.start(order)
        except UserError as error:
            st.error(plain(str(error)), icon=":material/error:")
    name = st.session_state.get(key)
    if name is not None and name in jobs.names():
        live = jobs.job(name).live
        st.fragment(_watched, run_every=POLL if live else None)(name, draw, live)


def lesson_link(benchmark: str) -> None:
    """The way to the step of Learn that trains such a model, where there is one."""
    if benchmark in LESSONS and not jobs.read_only():
        there = {"step": LESSONS[benchmark]}
        st.page_link("pages/learn.py", label="Train one now", icon=":material/play_arrow:", query_params=there)


def _watched(name: str, draw: Callable[[list[dict[str, Any]]], None], was_live: bool) -> None:
    """The run as it is now; a full run drops the timer at its end."""
    try:
        jobs.advance()
        job = jobs.job(name)
        events = jobs.read_events(jobs.folder_of(name))
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if job.live != was_live:
        st.rerun()
    last: Mapping[str, Any] | None = next((e for e in reversed(events) if e["kind"] == "step"), None)
    colour, icon, meaning = CHIPS[job.status]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(job.status, color=colour, icon=icon, help=meaning)
        if job.total_steps:
            st.progress(min(1.0, job.step / job.total_steps), text=progress_text(job, last))
        if job.status == "finished":
            link = {"model": f"run:{name}"}
            st.page_link("pages/explore.py", label="Drag it in Explore", icon=":material/tune:", query_params=link)
    if job.status in ("failed", "crashed"):
        st.error(plain(job.message) or "The run ended with an error; the Train page has its log.")
    fronts = [event for event in events if event["kind"] == "front"]
    if fronts:
        draw(fronts)
