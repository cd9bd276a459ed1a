"""Tables over runs: Δm by hand, single-task runs as one row, the paper's form."""

import math

import numpy as np
import pytest

from palora_core.benchmarks.base import benchmarks
from palora_core.evaluation.front import Front
from palora_core.evaluation.tables import Result, baseline_of, delta_m, joined, paper_table, row

STREETS = benchmarks.get("streets")()
KEYS = ("segmentation/miou", "segmentation/pixel_accuracy", "depth/abs_err", "depth/rel_err")


def result(values, method="ls", seed=0, losses=None):
    """A run whose metrics are ``values`` [K, 4], in the order of KEYS."""
    values = np.array(values, float).reshape(-1, 4)
    weights = np.linspace(1, 0, len(values)) if len(values) > 1 else np.array([0.5])
    front = Front(
        np.stack([weights, 1 - weights], 1),
        np.array(losses or [[1.0, 0.05]] * len(values)),
        dict(zip(KEYS, values.T)),
        ("segmentation", "depth"),
        STREETS.reference,
    )
    card = {"title": f"{method.upper()} on Streets", "method": {"name": method}}
    card |= {"parameters": {"base": 100, "extra": 4, "overhead_percent": 4.0}}
    return Result({**card, "training": {"seed": seed, "seconds": 10.0}}, front)


BASELINE = dict(zip(KEYS, (0.5, 0.8, 0.1, 0.2)))


def test_delta_m_by_hand():
    # +10 % and +5 % where higher is better, +20 % and -50 % where lower is: (-10 - 5 + 20 - 50) / 4.
    values = dict(zip(KEYS, (0.55, 0.84, 0.12, 0.1)))
    assert delta_m(values, BASELINE, STREETS) == pytest.approx(-11.25)
    assert delta_m(BASELINE, BASELINE, STREETS) == 0
    assert math.isnan(delta_m(values, {**BASELINE, "depth/rel_err": 0.0}, STREETS))


def test_single_task_runs_make_one_row_that_is_the_baseline():
    runs = [[result([0.5, 0.8, 9, 9], "stl", seed), result([0.01, 0.01, 0.1, 0.2], "stl", seed)] for seed in (0, 1)]
    for first, second in runs:
        second.front.objectives[:] = [[7, 0.02]]
        assert joined([first, second]).front.objectives.tolist() == [[1.0, 0.02]]
    both = [joined(pair) for pair in runs]
    assert baseline_of(both, STREETS) == pytest.approx(BASELINE)
    entry = row(both, STREETS, baseline_of(both, STREETS))
    assert entry["delta_m"] == {"mean": pytest.approx(0), "std": pytest.approx(0)}
    assert entry["seeds"] == [0, 1]
    assert entry["overhead_percent"] == 100
    assert entry["seconds"]["mean"] == 20
    assert entry["controllable"] is False


def test_a_front_has_the_delta_m_of_each_metric_and_of_one_preference():
    ends = [[0.55, 0.8, 0.2, 0.2], [0.5, 0.8, 0.09, 0.2]]  # Δm of each alone: 22.5 and -2.5; best of each metric: -5
    entry = row([result(ends, "palora", seed) for seed in (0, 1, 2)], STREETS, BASELINE)
    assert entry["delta_m"]["mean"] == pytest.approx((-10 - 10) / 4)
    assert entry["delta_m_one"]["mean"] == pytest.approx(-2.5)
    assert entry["controllable"] is True
    assert len(entry["seeds"]) == 3


def test_the_papers_form():
    stl = joined([result([0.9, 0.9, 9, 9], "stl"), result([0, 0, 0.01, 0.01], "stl")])
    baseline = baseline_of([stl], STREETS)
    ls = row([result([0.5, 0.8, 0.1, 0.2], "ls", s) for s in (0, 1)], STREETS, baseline)
    palora = row([result([[0.6, 0.7, 0.3, 0.3], [0.4, 0.7, 0.05, 0.3]], "palora")], STREETS, baseline)
    lines = paper_table([row([stl], STREETS, baseline), ls, palora], STREETS).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = {name: i for i, name in enumerate(cells[0])}
    assert {len(line) for line in cells} == {len(columns)}
    assert [line[0] for line in cells[2:]] == ["STL", "LS", "PALORA"]
    miou, error = columns["segmentation mIoU % ↑"], columns["depth absolute error 1/m ↓"]
    assert [line[miou] for line in cells[2:]] == ["90.00", "50.00 ± 0.00", "**60.00**"]
    assert [line[error] for line in cells[2:]] == ["0.0100", "0.1000 ± 0.0000", "**0.0500**"]
    assert [line[columns["controllable"]] for line in cells[2:]] == ["✗", "✗", "✓"]
    assert [line[columns["Δp % ↓"]] for line in cells[2:]] == ["100.0", "4.0", "4.0"]


def test_without_single_task_runs_there_is_no_delta_m():
    entry = row([result([0.5, 0.8, 0.1, 0.2])], STREETS)
    assert "delta_m" not in entry
    assert "Δm" not in paper_table([entry], STREETS)
    known = {**entry, "delta_m": {"mean": 1.0, "std": None}}
    assert "| – |" in paper_table([entry, known], STREETS)
