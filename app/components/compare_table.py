"""The table of the Compare page, its downloads, and the measurement of prediction times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.components import front_table, side_by_side
from app.components import front_table_files as files
from app.components.fronts import style_of
from app.components.plain import plain
from app.components.quantities import Quantity
from app.components.sortable_table import show_table, table_data
from app.library.leaderboards import Leaderboard
from app.library.series import Series
from app.services import services
from palora_core.errors import UserError

TIMES = "measured_times"


def table(board: Leaderboard, shown: Sequence[Series], known: Mapping[str, Quantity]) -> None:
    """The table with its buttons."""
    times: dict[str, float] = st.session_state.setdefault(TIMES, {})
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Table", anchor=False, width="content")
        buttons = st.container(horizontal=True, horizontal_alignment="right", width="content")
    with buttons:
        if st.button("Measure prediction times", icon=":material/timer:", key="measure"):
            measure(shown, times)
    every = front_table.columns(board, known, times)
    rows = front_table.rows(shown, every)
    wanted = front_table.filled(every, rows)
    with buttons, st.popover("Download", icon=":material/download:", key="table_files"):
        downloads(board, shown, known, wanted, rows)
    show_table("table", table_data(shown, [style_of(one).colour for one in shown], wanted, rows))
    st.caption("Press a heading to sort, best first. Bold: the best of a column. ±: standard deviation over seeds.")


def measure(shown: Sequence[Series], times: dict[str, float]) -> None:
    """Milliseconds per prediction of one seed of each series."""
    models = [one.members[0].id for one in shown if not one.published]
    bar = st.progress(0.0, text="Measuring …")
    for done, model in enumerate(models, start=1):
        try:
            spent = side_by_side.prediction_time(services(), model)
            times.update({model: spent} if spent is not None else {})
        except UserError as error:
            st.warning(plain(str(error)), icon=":material/timer_off:")
        bar.progress(done / len(models), text="Measuring …")
    bar.empty()


def downloads(
    board: Leaderboard,
    shown: Sequence[Series],
    known: Mapping[str, Quantity],
    wanted: Sequence[front_table.Column],
    rows: Sequence[front_table.Row],
) -> None:
    """The table as it is shown, and what it was made from: every seed, and every evaluated point."""
    tasks = [task.name for task in board.tasks]
    forms: dict[str, tuple[str, str, Callable[[], str]]] = {
        "CSV": ("comparison", "csv", lambda: files.table_csv(shown, wanted, rows)),
        "CSV, a row per seed": ("seeds", "csv", lambda: files.seeds_csv(shown, wanted)),
        "CSV, a row per point": ("points", "csv", lambda: files.points_csv(shown, known, tasks)),
        "LaTeX": ("comparison", "tex", lambda: files.to_latex(shown, wanted, rows)),
    }
    for label, (stem, suffix, make) in forms.items():
        st.download_button(
            label,
            make,
            file_name=f"{stem}-{board.name}.{suffix}",
            icon=":material/download:",
            on_click="ignore",
            key=f"download {label}",
            width="stretch",
        )
