"""The form that makes a model of checkpoints or adapters: which network, which file leans to which objective."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components.plain import plain
from app.library import transfer
from app.library.entries import Entry
from app.library.merging import Dropped, choices, merged
from palora_core.benchmarks.base import Benchmark
from palora_core.errors import UserError

KINDS = ["safetensors", "zip"]
CENTRE = "their mean"


def merge_form(entries: Sequence[Entry]) -> str | None:
    """Draw it; the id of the model, once one is made. Notes on it wait in the session for the page that shows it."""
    number = st.session_state.setdefault("merge_number", 0)
    st.caption(
        "Checkpoints or adapters of one network, one per objective, become a model that λ steers, without training."
    )
    known = choices(entries)
    title = st.selectbox("Network", list(known), key=f"merge_network{number}")
    if title is None:
        return None
    benchmark = known[title]
    limit = min(transfer.MAX_ZIP // 2**20, st.get_option("server.maxUploadSize"))
    sent = st.file_uploader(
        f"{len(benchmark.tasks)} files: .safetensors, or zips of adapter or model folders, up to {limit} MB each",
        type=KINDS,
        accept_multiple_files=True,
        key=f"merge_files{number}",
        max_upload_size=limit,
    )
    files = {file.name: Dropped(file.name, file) for file in sent}
    places = _places(benchmark, list(files), number) if files else None
    if places is None:
        return None
    chosen, start = places
    if not st.button("Check and merge", type="primary", key="merge_go"):
        return None
    try:
        with st.spinner("Checking, mixing and evaluating …"):
            model, notes = merged([files[name] for name in chosen], benchmark, files.get(start))
    except UserError as error:
        st.error(plain(str(error)), icon=":material/block:")
        return None
    st.session_state["merge_number"] = number + 1  # an empty form next time
    st.session_state["merge_notes"] = notes
    return model


def _places(benchmark: Benchmark, names: Sequence[str], number: int) -> tuple[list[str], str] | None:
    """Which file each objective leans to, and what all began with; None while that is not one for each."""
    tasks = [task.name for task in benchmark.tasks]
    if len(names) not in (len(tasks), len(tasks) + 1):
        st.caption(f"Sent: {len(names)}. Send {len(tasks)}, one per objective, or one more that all began with.")
        return None
    start = CENTRE
    if len(names) > len(tasks):
        start = st.selectbox("What all were fine-tuned from", names, key=f"merge_base{number}")
    left = [name for name in names if name != start]
    chosen = [
        st.selectbox(
            f"At {plain(task)} the model is",
            left,
            _likely(task, left, place),
            key=f"merge {number} {task} {start}",
        )
        for place, task in enumerate(tasks)
    ]
    if len(set(chosen)) < len(chosen):
        st.caption("Each file belongs to one objective.")
        return None
    return chosen, start


def _likely(task: str, names: Sequence[str], place: int) -> int:
    """The file that has the objective's name in its own, else the one in its place."""
    found = [index for index, name in enumerate(names) if task.lower() in name.lower()]
    return found[0] if len(found) == 1 else place
