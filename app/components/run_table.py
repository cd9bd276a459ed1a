"""The table of runs: every setting in which they differ, every figure; what can be done with the one that is ticked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import jobs
from app.components import front_table_files as files
from app.components.front_table import Column
from app.components.plain import plain
from app.components.quantities import Quantity
from app.library.entries import IMPORTS, RUNS
from app.library.lab import Lab, headings, text
from app.library.leaderboards import EvaluatedModel, Leaderboard
from palora_core.errors import UserError
from palora_core.storage.notes import MOST_OF_NAME, MOST_OF_TEXT


def show_runs(
    board: Leaderboard,
    lab: Lab,
    passing: Sequence[EvaluatedModel],
    known: Mapping[str, Quantity],
    columns: Sequence[Column],
    axes: Sequence[str],
) -> None:
    """Heading, downloads, table (what is on the axes stands first), and what can be done with a run."""
    filled = [column for column in columns if column.heading in lab.figures]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Runs", anchor=False, width="content")
        with st.popover("Download", icon=":material/download:", key="run_files"):
            downloads(board, lab, passing, known, filled)
    st.caption("Press a heading to sort. Tick a run for what can be done with it.")
    ticked = st.dataframe(
        [row(lab, one, filled, axes) for one in passing],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"runs {board.key} {hash(tuple(one.id for one in passing))}",
        alt=f"{len(passing)} runs with their settings and figures",
    )
    rows = [place for place in ticked.selection.rows if place < len(passing)]
    if rows:
        actions(lab, passing[rows[0]])


def row(lab: Lab, one: EvaluatedModel, columns: Sequence[Column], first: Sequence[str] = ()) -> dict[str, Any]:
    """A run as a row: what it is called, what differs, how good it is, what was said about it."""
    told, decimals = headings(lab.axes), {column.heading: column.decimals for column in columns}
    order = [*first, *(axis for axis in lab.axes if axis not in first)]
    cells = {told[axis]: _shown(lab, axis, one.id, decimals.get(axis)) for axis in order}
    return {"run": lab.names[one.id], "tags": ", ".join(one.note.tags), **cells, "note": one.note.text}


def _shown(lab: Lab, axis: str, model: str, decimals: int | None) -> Any:
    value = lab.values(axis)[model]
    if not lab.is_number(axis):
        return text(value)
    return round(value, decimals) if isinstance(value, float) and decimals is not None else value


def actions(lab: Lab, one: EvaluatedModel) -> None:
    """Open it, start one like it, name it."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plain(lab.names[one.id])}**", width="content")
            if one.told is None:
                here = {"model": one.id}
                st.page_link("pages/explore.py", label="Explore", icon=":material/tune:", query_params=here)
                if not jobs.read_only():
                    like = {"run": "new", "like": one.id}
                    icon = ":material/content_copy:"
                    st.page_link("pages/train.py", label="Start one like this", icon=icon, query_params=like)
        name = job_of(one)
        if name and not jobs.read_only():
            describe(one, name)


def job_of(one: EvaluatedModel) -> str:
    """The name of the run behind a model; "" for shipped ones and for what was imported."""
    return one.id.removeprefix(RUNS) if one.id.startswith(RUNS) and not one.id.startswith(IMPORTS) else ""


def describe(one: EvaluatedModel, job: str) -> None:
    """The form for name, tags and note of a run."""
    with st.form(f"describe {one.id}", border=False):
        left, right = st.columns(2)
        name = left.text_input("Name", one.note.name, max_chars=MOST_OF_NAME)
        tags = right.text_input("Tags", ", ".join(one.note.tags), placeholder="baseline, lr study", max_chars=200)
        said = st.text_area("Note", one.note.text, max_chars=MOST_OF_TEXT, height=80)
        if not st.form_submit_button("Keep", icon=":material/save:"):
            return
    try:
        jobs.describe(job, name, said, tags)
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.rerun()


def downloads(
    board: Leaderboard,
    lab: Lab,
    passing: Sequence[EvaluatedModel],
    known: Mapping[str, Quantity],
    columns: Sequence[Column],
) -> None:
    """The runs that pass, one row each, and all of their evaluated points."""
    every = lab.grouped(passing, "run")
    tasks = [task.name for task in board.tasks]
    forms = {
        "CSV, a row per run": ("runs", lambda: files.runs_csv(lab, passing, columns)),
        "CSV, a row per point": ("points", lambda: files.points_csv(every, known, tasks)),
    }
    for label, (stem, make) in forms.items():
        st.download_button(
            label,
            make,
            file_name=f"{stem}-{board.name}.csv",
            icon=":material/download:",
            on_click="ignore",
            key=f"download {label} of runs",
            width="stretch",
        )
