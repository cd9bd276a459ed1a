"""One rule for figures: a change is that between the figures as they are shown, whatever the numbers."""

import math

import pytest

from palora_core.objectives import Metric
from palora_core.objectives.figures import change, figure

GRID = [0.0, 1e-7, 0.00012345, 0.0141, 0.345678, 0.9999549, 1.0, 12.345, 123.45, 27450.0, 123456.0, 2.5e7]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.9551, "%", "95.5 %"), (0.00125, "%", "0.1 %"), (0.0025, "%", "0.3 %"), (12.3149, "°", "12.31 °"),
        (0.0141, "", "0.0141"), (27450, "", "27450"), (9.99996, "m", "10 m"), (1.5e-7, "", "1.5e-7"),
        (None, "m", "–"), (math.nan, "%", "–"), (math.inf, "", "–"), (-0.25, "m", "-0.25 m"),
    ],
)  # fmt: skip
def test_a_figure_as_it_is_shown(value, unit, text):
    assert figure(value, unit) == text


@pytest.mark.parametrize("unit", ["%", "m", ""])
def test_a_change_is_that_of_the_figures(unit):
    for now in GRID[:-1]:
        for before in GRID[:-1]:
            by = change(now, before, unit).replace(" points", "").replace(" m", "")
            shown = float(by[1:]) * (-1 if by[0] == "−" else 1)
            told = [float(figure(value, unit).split()[0]) for value in (now, before)]
            assert shown == pytest.approx(told[0] - told[1], abs=1e-9)
            assert (by[0] == "±") == (shown == 0)


def test_a_change_has_the_metrics_unit():
    miou, depth = Metric("miou", "mIoU", "%", True), Metric("abs", "error", "m", False)
    assert (miou.change(0.5, 0.496), depth.change(0.3451, 0.35)) == ("+0.4 points", "−0.0049 m")
    assert change(1.0, None) == "–" and change(0.5, 0.50001, "%") == "±0.0 points"
