"""The shortlist as files: their figures are those of the page, to the last digit."""

import csv
import io

import numpy as np
import pytest

from app.analysis.queries import Column
from app.bench.shortlist import Candidate, Shortlist
from app.exports.shortlist import Table
from palora_core.objectives import Metric

COLUMNS = [
    Column("a/miou", "a", Metric("miou", "mIoU", "%", True), np.zeros(2)),
    Column("b_c/err", "b_c", Metric("err", "error", "m", False), np.zeros(2)),
]
FIGURES = {
    "A": {"a/miou": 0.51234, "b_c/err": 0.345678},
    "B & co": {"a/miou": 0.5, "b_c/err": 0.35},
    "C": {"a/miou": 0.4},
}


@pytest.fixture
def table() -> Table:
    rows = [Candidate(name, "m", (i / 4, 1 - i / 4), "a|b" if i else "") for i, name in enumerate(FIGURES)]
    return Table.of(Shortlist.of(rows, "A"), COLUMNS, lambda one: FIGURES[one.name], {"m": "My model"})


def test_csv_has_every_digit(table):
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [float(row["a/miou"]) for row in rows] == [0.51234, 0.5, 0.4] and rows[2]["b_c/err"] == ""
    assert [float(row["λ2"]) for row in rows] == [1, 0.75, 0.5]


def test_markdown_has_the_figures_of_the_page(table):
    lines = table.markdown().splitlines()
    assert lines[0] == "| candidate | model | λ | a mIoU [%] ↑ | b c error [m] ↓ | note |"
    assert lines[2] == "| A | My model | (0, 1) | 51.2 % | 0.3457 m |  |"
    assert lines[3] == r"| B & co | My model | (0.25, 0.75) | 50.0 % (−1.2 points) | 0.35 m (+0.0043 m) | a\|b |"
    assert "| – |" in lines[4]


def test_latex_is_escaped(table):
    text = table.latex()
    assert r"B \& co" in text and r"50.0 \% ($-$1.2 points)" in text and r"$\uparrow$" in text and "↑" not in text
    assert text.count(r"\\") == 4
