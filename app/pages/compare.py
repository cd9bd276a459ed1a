"""Compare: fronts of several methods on one benchmark, their table, and their predictions side by side."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components import compare_view as view
from app.components.compare_choice import choose_leaderboard, choose_series, published_in
from app.components.compare_figure import figure
from app.components.compare_table import table
from app.components.plain import plain
from app.components.predictions_panel import predictions
from app.components.quantities import quantities
from app.components.run_lab import runs
from app.library import leaderboards
from app.library.series import series
from app.services import services
from app.settings import ROOT

TEXTS = ROOT / "app" / "texts"


def page() -> None:
    """Lay out the page, or say what is missing."""
    st.title("Compare", anchor=False)
    boards, problems = leaderboards.read(services().registry.entries())
    if not boards:
        st.info((TEXTS / "no_models.md").read_text(encoding="utf-8"))
        list_problems(problems)
        return
    view.begin()
    board = choose_leaderboard(boards)
    with st.sidebar.expander("How to use this page", icon=":material/help:"):
        st.markdown((TEXTS / "compare.md").read_text(encoding="utf-8"))
    with st.sidebar:
        list_problems(problems)
    if view.section() == view.RUNS:
        runs(board)
        view.end()
        return
    shown = choose_series(board, series([*board.models, *published_in(board)]))
    if not shown:
        st.info("Choose at least one method to see its front.")
        view.end()
        return
    known = quantities(board)
    figure(board, shown, known)
    table(board, shown, known)
    st.fragment(predictions)(board, shown)


def list_problems(problems: Sequence[str]) -> None:
    """Which models are left out, and why."""
    if problems:
        with st.expander(f"Left out: {len(problems)}", icon=":material/info:"):
            for problem in problems:
                st.caption(plain(problem))


page()
