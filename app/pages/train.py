"""Train: start runs, watch them, stop, resume and delete them. Runs are processes that outlive page and server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import jobs
from app.components import run_comparison
from app.components import training_figures as figures
from app.components.expansion_form import expansion_form
from app.components.run_comparison import RunTrace
from app.components.train_panel import duration, start_form
from app.services import services
from palora_core.benchmarks.base import benchmarks
from palora_core.errors import UserError
from palora_core.methods.base import methods
from palora_core.registry import Registry

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
LISTED = 30


def page() -> None:
    """Runs on the left, the chosen one on the right."""
    jobs.keep_queue()
    try:
        jobs.advance()
    except UserError as error:
        st.warning(str(error), icon=":material/lock:")
    every = jobs.jobs()
    chosen = choose(every)
    left, right = st.columns([1, 2.7], gap="medium")
    with left:
        st.title("Train", anchor=False)
        if st.button("New run", icon=":material/add:", width="stretch", type="secondary" if chosen else "primary"):
            st.query_params["run"] = "new"
            st.rerun()
        live = any(job.live for job in every)
        st.fragment(list_of_runs, run_every=2 if live else None)(chosen)
        queue_setting()
    with right:
        if chosen is None:
            new_run(first=not every)
        else:
            live = next(job.live for job in every if job.name == chosen)
            st.fragment(panel, run_every=1 if live else None)(chosen, live)
            earlier = compare_with(chosen, every)
            st.fragment(charts, run_every=3 if live else None)(chosen, earlier)
            log(chosen)


def choose(every: list[jobs.Job]) -> str | None:
    """The run named in the URL; without one, whatever is training; None for the form of a new run."""
    wanted = st.query_params.get("run")
    names = [job.name for job in every]
    if wanted in names:
        return wanted
    if wanted and wanted != "new":
        st.warning("That run is not here any more.", icon=":material/search_off:")
    elif not wanted:
        return next((job.name for job in every if job.status in ("running", "starting", "stopping")), None)
    return None


def new_run(first: bool) -> None:
    """The form with every option."""
    st.subheader("New run", anchor=False)
    if first:
        st.caption("No runs yet. The defaults train PaLoRA on MultiMNIST; the digits travel with the project.")
    kinds = {"new": "A new network", "expansion": "Pareto expansion of a trained one"}
    start = "expansion" if "from" in st.query_params else "new"
    kind = st.segmented_control(
        "What", list(kinds), default=start, format_func=kinds.get, key="kind", label_visibility="collapsed"
    )
    name = expansion_form(services().registry.entries()) if kind == "expansion" else start_form("page")
    if name:
        st.query_params["run"] = name
        st.rerun()


def list_of_runs(chosen: str | None) -> None:
    """One button per run, with its status."""
    every = jobs.jobs()
    for job in every[:LISTED]:
        colour, icon, meaning = CHIPS[job.status]
        text = job.status
        if job.status == "running" and job.total_steps:
            text = f"{100 * job.step // job.total_steps} %"
        label = f"{title(methods, job.method)} on {title(benchmarks, job.benchmark)}"
        if job.expands:
            label = f"Expansion of {job.expands}"
        with st.container(border=job.name == chosen, gap=None):
            if st.button(f"**{label}**", key=f"open.{job.name}", type="tertiary", help=job.name):
                st.query_params["run"] = job.name
                st.rerun()
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(text, color=colour, icon=icon, help=meaning)
                st.caption(time.strftime("%d %b, %H:%M", time.localtime(job.created)))
    if len(every) > LISTED:
        st.caption(f"and {len(every) - LISTED} older ones")


def title(registry: Registry, name: str) -> str:
    """The name for people of a registered method or benchmark."""
    return (getattr(registry.get(name), "title", "") or name) if name in registry else name or "?"


def queue_setting() -> None:
    """How many runs train at the same time."""
    if jobs.read_only() or jobs.most_at_once() == 1:
        return
    with st.expander("Queue", icon=":material/low_priority:"):
        count = st.number_input("Runs at the same time", 1, jobs.most_at_once(), jobs.at_once(), key="at_once")
        if count != jobs.at_once():
            try:
                jobs.set_at_once(count)
            except UserError as error:
                st.error(str(error), icon=":material/error:")


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
        place.metric(f"{figures.pretty(task)} loss", f"{loss:.4g}" if loss is not None else "–", border=True)
    value = f"{front['hypervolume']:.4f}" if front and front["hypervolume"] is not None else "–"
    places[-1].metric("hypervolume (val.)", value, border=True)


def compare_with(name: str, every: list[jobs.Job]) -> list[str]:
    """Which earlier runs of the same benchmark to draw beside this one."""
    benchmark = next(job.benchmark for job in every if job.name == name)
    others = [job.name for job in every if job.name != name and job.benchmark == benchmark and job.total_steps]
    if not others:
        return []
    return st.multiselect(
        "Compare with earlier runs",
        others,
        key=f"compare {name}",
        max_selections=7,
        format_func=lambda other: other.removeprefix(f"{benchmark}-"),
        placeholder="Compare with earlier runs of this benchmark",
        label_visibility="collapsed",
        persist_state="session",
    )


def comparison(name: str, earlier: list[str]) -> None:
    """Losses, newest fronts and hypervolumes of several runs."""
    runs = []
    for other in (name, *earlier):
        with contextlib.suppress(UserError):  # deleted meanwhile
            runs.append(RunTrace(other, jobs.read_events(jobs.folder_of(other))))
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


def charts(name: str, earlier: list[str]) -> None:
    """Losses, schedule, film of fronts, hypervolume; beside earlier runs if some were chosen."""
    if earlier:
        comparison(name, earlier)
        return
    try:
        events = jobs.read_events(jobs.folder_of(name))
    except UserError:
        return
    start = next((e for e in reversed(events) if e["kind"] == "start"), None)
    steps = [e for e in events if e["kind"] == "step"]
    if start is None or not steps:
        return
    tasks = start["tasks"]
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


page()
