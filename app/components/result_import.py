"""Results from elsewhere beside the runs that are here: a file, what its columns mean, and the fronts in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from app.components.plain import plain
from app.components.quantities import Quantity
from app.library.leaderboards import EvaluatedModel, Leaderboard
from app.library.results import Meaning, Table, fronts, guessed, read_csv
from app.library.studies import SUFFIXES, read_studies
from palora_core.errors import UserError

MOST_MB = 20
NONE = "–"
ABOUT = (
    "A CSV of results (a row per run, or per λ of a run), or an Optuna study: its SQLite file or journal. Losses are "
    "minimised. What you add is for this session only, and not in the link."
)


def added(board: Leaderboard) -> list[EvaluatedModel]:
    """What this session added to a leaderboard."""
    kept: dict[str, list[EvaluatedModel]] = st.session_state.setdefault("added results", {})
    return kept.setdefault(board.key, [])


def result_import(board: Leaderboard, known: Mapping[str, Quantity]) -> None:
    """The popover."""
    with st.popover("Add results", icon=":material/upload_file:", key="add_results"):
        st.caption(ABOUT)
        sent = st.file_uploader("File", ["csv", *SUFFIXES], key="results_file", max_upload_size=MOST_MB)
        if sent is not None:
            try:
                table = _table(sent.name, sent.getvalue())
                _add(board, table, meaning_of(board, table, known))
            except UserError as error:
                st.error(plain(str(error)), icon=":material/error:")
        here = added(board)
        if here and st.button(f"Take the {len(here)} added runs away", icon=":material/delete:", key="take_away"):
            here.clear()
            st.rerun()


def _table(name: str, data: bytes) -> Table:
    if Path(name).suffix.lower() == ".csv":
        return read_csv(name, data)
    studies = read_studies(name, data)
    chosen = st.selectbox("Study", list(studies), key="study") if len(studies) > 1 else next(iter(studies))
    return studies[chosen]


def meaning_of(board: Leaderboard, table: Table, known: Mapping[str, Quantity]) -> Meaning:
    """What the columns mean: guessed by their heads, and for the person to say."""
    guess = guessed(table, board, {key: quantity.label for key, quantity in known.items()})
    columns = [NONE, *table.heads]

    def choose(label: str, usual: str, key: str) -> str:
        place = columns.index(usual) if usual in columns else 0
        chosen = st.selectbox(label, columns, place, key=f"column {key} {table.name}")
        return "" if chosen == NONE else chosen

    losses, weights = [], []
    for t, task in enumerate(board.tasks):
        name = task.name.replace("_", " ")
        left, right = st.columns(2)
        with left:
            losses.append(choose(f"{name}: loss", guess.losses[t], f"loss {t}"))
        with right:
            weights.append(choose(f"{name}: λ", guess.weights[t] if guess.weights else "", f"weight {t}"))
    left, right = st.columns(2)
    with left:
        name = choose("name of the run", guess.name, "name")
    with right:
        seed = choose("seed", guess.seed, "seed")
    if any(weights) and not all(weights):
        raise UserError("Either every objective has a column of λ, or none: without, each row is a run of its own.")
    factors = {key: known[key].factor for key in guess.metrics}
    return Meaning(tuple(losses), tuple(weights) if all(weights) else (), name, seed, guess.metrics, factors)


def _add(board: Leaderboard, table: Table, meaning: Meaning) -> None:
    """The button; the same runs are not added twice."""
    found: Sequence[EvaluatedModel] = fronts(table, meaning, board) if all(meaning.losses) else ()
    label = f"Add {len(found)} runs" if found else "Add"
    if not st.button(label, type="primary", key="add_runs", disabled=not found, icon=":material/add:"):
        return
    here = added(board)
    new = {one.id for one in found}
    here[:] = [one for one in here if one.id not in new] + list(found)
    st.rerun()
