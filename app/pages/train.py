"""Train: start runs, watch them, stop, resume and delete them. Runs are processes that outlive page and server."""

from __future__ import annotations

import time

import streamlit as st

from app import jobs
from app.components.expansion_form import expansion_form
from app.components.plain import plain
from app.components.run_charts import charts, compare_with, log
from app.components.run_panel import CHIPS, panel, settings
from app.components.start_like import LIKE, prefill
from app.components.train_panel import start_form
from app.services import services
from palora_core.errors import UserError

LISTED = 30


def page() -> None:
    """Runs on the left, the chosen one on the right."""
    jobs.keep_queue()
    try:
        jobs.advance()
    except UserError as error:
        st.warning(plain(str(error)), icon=":material/lock:")
    every = jobs.jobs()
    chosen = choose(every)
    left, right = st.columns([1, 2.7], gap="medium")
    with left:
        st.title("Train", anchor=False)
        if st.button("New run", icon=":material/add:", width="stretch", type="secondary" if chosen else "primary"):
            st.query_params["run"] = "new"
            st.query_params.pop(LIKE, None)
            st.rerun()
        if len(every) > 1:
            icon = ":material/table_rows:"
            st.page_link("pages/compare.py", label="All runs in a table", icon=icon, query_params={"show": "Runs"})
        live = any(job.live for job in every)
        st.fragment(list_of_runs, run_every=2 if live else None)(chosen)
        queue_setting()
    with right:
        if chosen is None:
            new_run(first=not every)
        else:
            job = next(job for job in every if job.name == chosen)
            st.fragment(panel, run_every=1 if job.live else None)(job.name, job.title, job.live)
            compared = compare_with(job, every)
            st.fragment(charts, run_every=3 if job.live else None)(chosen, compared)
            settings(job)
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
    if LIKE in st.query_params:
        st.session_state["kind"] = "new"
    start = "expansion" if "from" in st.query_params else "new"
    st.session_state.setdefault("kind", start)
    kind = st.segmented_control("What", list(kinds), format_func=kinds.get, key="kind", label_visibility="collapsed")
    if kind != "expansion":
        prefill("page", services().registry)
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
        with st.container(border=job.name == chosen, gap=None):
            if st.button(f"**{plain(job.title)}**", key=f"open.{job.name}", type="tertiary", help=plain(job.name)):
                st.query_params["run"] = job.name
                st.rerun()
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(text, color=colour, icon=icon, help=meaning)
                if job.problem:
                    st.badge("damaged", color="red", icon=":material/broken_image:")
                st.caption(time.strftime("%d %b, %H:%M", time.localtime(job.created)))
    if len(every) > LISTED:
        st.caption(f"and {len(every) - LISTED} older ones")


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
                st.error(plain(str(error)), icon=":material/error:")


page()
