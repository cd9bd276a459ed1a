"""What a run has done so far: its figures, alone or beside earlier runs, and its log."""

from __future__ import annotations

import contextlib

import streamlit as st

from app import jobs
from app.components import run_comparison
from app.components import training_figures as figures
from app.components.plain import in_figure
from app.components.run_comparison import RunTrace
from palora_core.errors import UserError


def compare_with(own: jobs.Job, every: list[jobs.Job]) -> dict[str, str]:
    """Which earlier runs of the same benchmark to draw beside this one: folder → title, the run itself first."""
    found = [job for job in every if job.name != own.name and job.benchmark == own.benchmark and job.total_steps]
    others = {job.name: job.title for job in found}
    if not others:
        return {}
    chosen = st.multiselect(
        "Compare with earlier runs",
        list(others),
        key=f"compare {own.name}",
        max_selections=7,
        format_func=lambda other: others.get(other, other),
        placeholder="Compare with earlier runs of this benchmark",
        label_visibility="collapsed",
        persist_state="session",
    )
    return {own.name: own.title} | {name: others[name] for name in chosen if name in others} if chosen else {}


def comparison(shown: dict[str, str]) -> None:
    """Losses, newest fronts and hypervolumes of several runs."""
    runs = []
    for name, title in shown.items():
        with contextlib.suppress(UserError):  # deleted meanwhile
            runs.append(RunTrace(in_figure(title), jobs.read_events(jobs.folder_of(name))))
    runs = [run for run in runs if run.tasks == runs[0].tasks and run.of("step")]
    if not runs or not runs[0].tasks:
        st.caption("Nothing to compare yet: the first steps are still to come.")
        return
    st.markdown("**Training losses**")
    st.plotly_chart(run_comparison.losses(runs), key="compared losses", alt="Training losses of the runs compared")
    left, right = st.columns(2)
    with left:
        st.markdown("**Newest fronts on the validation split**")
        across, up = axes(runs[0].tasks)
        st.plotly_chart(run_comparison.fronts(runs, across, up), key="compared fronts", alt="Fronts of the runs")
    with right:
        st.markdown("**Hypervolume**")
        st.plotly_chart(run_comparison.hypervolumes(runs), key="compared hypervolumes", alt="Hypervolume of the runs")


def charts(name: str, compared: dict[str, str]) -> None:
    """Losses, schedule, film of fronts, hypervolume; beside earlier runs if some were chosen."""
    if compared:
        comparison(compared)
        return
    try:
        events = jobs.read_events(jobs.folder_of(name))
    except UserError:
        return
    start = next((e for e in reversed(events) if e["kind"] == "start"), None)
    steps = [e for e in events if e["kind"] == "step"]
    if start is None or not steps:
        return
    tasks = [in_figure(task) for task in start["tasks"]]
    fronts = [e for e in events if e["kind"] == "front"]
    left, right = st.columns(2)
    with left:
        st.markdown("**Training losses**")
        told = f"Training losses up to step {steps[-1]['step']:,}"
        st.plotly_chart(figures.loss_curves(events, tasks), key="losses", alt=told)
        st.markdown(f"**Preferences of step {steps[-1]['step']:,}** (τ = {steps[-1]['tau']:.2f})")
        chart = figures.schedule(steps[-1]["preferences"], tasks)
        chart.update_layout(height=120 if len(tasks) == 2 else 260)
        st.plotly_chart(chart, key="schedule", alt="Preferences of the last step on the simplex")
    with right:
        st.markdown(
            "**Front on the validation split**, epoch by epoch", help="Double-click the figure to see all of it."
        )
        if not fronts:
            st.caption("The first front comes at the end of the first epoch.")
            return
        across, up = axes(tasks)
        film = figures.front_film(fronts, tasks, across, up).update_layout(height=390)
        st.plotly_chart(film, key="film", alt=f"Fronts of {len(fronts)} epochs")
        if len(fronts) > 1:
            curve = figures.hypervolume_curve(fronts).update_layout(height=190)
            st.plotly_chart(curve, key="hypervolume", alt="Hypervolume of every epoch")


def axes(tasks: list[str]) -> tuple[int, int]:
    """Which two tasks the film shows."""
    if len(tasks) < 3:
        return 0, len(tasks) - 1
    left, right = st.columns(2)
    options = list(range(len(tasks)))
    across = left.selectbox("across", options, 0, format_func=lambda t: figures.pretty(tasks[t]), key="across")
    up = right.selectbox("up", options, 1, format_func=lambda t: figures.pretty(tasks[t]), key="up")
    return across, up


def log(name: str) -> None:
    """What the process printed, behind a fold."""
    with st.expander("Log", icon=":material/terminal:"):
        text = ""
        with contextlib.suppress(UserError):  # deleted in another tab; the panel goes back to the list
            text = jobs.log_tail(jobs.folder_of(name))
        st.code(text or "(nothing yet)", language=None, height=240)
