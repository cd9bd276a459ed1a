"""How sure the shortlist's figures are: bands and probabilities from resampled items, and what other seeds give."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import state
from app.analysis import trade_offs
from app.analysis.queries import columns
from app.analysis.trust import Trust, seeds_sentence, trust
from app.components.plain import plain
from app.exports.report.compose import paragraphs, table
from app.library import leaderboards
from app.library.loading import LoadedModel
from app.library.series import series
from app.services import services
from palora_core.errors import UserError
from palora_core.evaluation.front import Front

KEPT = "trust"


def trust_panel(loaded: LoadedModel) -> str:
    """A button, then the table; the same as HTML for the report, "" before."""
    view = state.view(loaded)
    own = tuple((one.name, one.preference) for one in view.shortlist if one.model == loaded.entry.id)
    wanted = (loaded.key, own)
    kept = st.session_state.get(KEPT)
    if not own or loaded.front is None:
        return ""
    if kept is None or kept[0] != wanted:
        if not st.button("How sure are the figures?", key="trust_go", icon=":material/query_stats:", width="stretch"):
            return ""
        try:
            with st.spinner("Measuring the candidates item by item …", show_time=True):
                found = trust(loaded, list(view.shortlist), columns(loaded.front, loaded.tasks))
        except UserError as error:
            st.warning(plain(str(error)), icon=":material/info:")
            return ""
        st.session_state[KEPT] = kept = (wanted, found, seeds(loaded))
    _, found, fronts = kept
    return show_trust(loaded, found, said_of_seeds(loaded, found, fronts), view.shortlist.against)


def show_trust(loaded: LoadedModel, found: Trust, said: Sequence[str], against: str) -> str:
    """The table on the page; the same as HTML."""
    rows, heads = found.rows(against), found.heads
    st.table([dict(zip(["figure", *heads[1:]], row)) for row in rows])
    for text in (found.told, *said):
        st.caption(plain(text))
    return table(heads, rows, "How sure the figures are", paragraphs((found.told, *said)))


def seeds(loaded: LoadedModel) -> list[Front]:
    """Fronts of all runs that differ from a model in their seed alone, its own among them."""
    boards, _ = leaderboards.read(services().registry.entries())
    for board in boards:
        for one in series(board.models):
            if any(member.id == loaded.entry.id for member in one.members):
                return one.fronts
    return []


def said_of_seeds(loaded: LoadedModel, found: Trust, fronts: Sequence[Front]) -> list[str]:
    """A sentence per candidate where there are several seeds; otherwise that there are none."""
    leading = trade_offs.leading(found.columns, loaded.tasks)
    said = [text for one in found.candidates if (text := seeds_sentence(fronts, leading, one))]
    return said or ["There is one run of these settings here: how much a seed changes is not known."]
