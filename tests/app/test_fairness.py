"""Objectives that predict nothing by themselves (gaps between groups) on the pages: figures, and no prediction."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.exports.standalone.build import configuration
from app.library.models import ModelRegistry
from app.pictures.scenes import make_scene
from app.pictures.uploads import UploadStore
from tests.app.pages import open_on

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def loaded(monkeypatch):
    monkeypatch.setenv("PALORA_MODELS", str(ROOT / "trained_models"))
    return ModelRegistry(ROOT / "trained_models", ROOT / "no runs").get("fairness")


def test_the_shipped_model_is_whole_and_its_front_is_that_of_its_weights(loaded):
    assert loaded.problems == [] and [one.name for one in loaded.predicting] == ["income"]
    split = loaded.benchmark.load()["test"]
    x, targets = split.batch(torch.arange(len(split)))
    for place in (0, 33, 65):
        with torch.no_grad():
            outputs = loaded.model(x, torch.tensor(loaded.front.preferences[place]).float())
        for one in loaded.tasks[1:]:
            accumulator = one.accumulator()
            accumulator.update(outputs, (x, targets))
            assert accumulator.compute()["gap"] == pytest.approx(
                loaded.front.metrics[f"{one.name}/gap"][place], abs=0.05
            )


def test_the_first_drag_shows_a_trade_off(loaded):
    accuracy, outcomes, chances = (
        loaded.front.metrics[name] for name in ("income/accuracy", "equal_outcomes/gap", "equal_chances/gap")
    )
    corners = [loaded.front.nearest(row) for row in np.eye(3)]
    assert outcomes[corners[0]] - outcomes[corners[1]] > 10
    assert chances[corners[1]] - chances[corners[2]] > 20  # the one kind of equality costs the other
    assert accuracy[corners].min() > 0.82 and loaded.front.effect()["income"] > 0.1


def test_a_row_has_one_prediction_and_the_gaps_have_none(loaded):
    scene = make_scene(loaded, "sample-0", UploadStore())
    header = scene.draw(loaded.model(scene.x, torch.tensor([1.0, 0.0, 0.0])), ()).header
    assert "probabilities" in header["values"]["income"]
    assert header["values"]["equal_outcomes"] == header["values"]["equal_chances"] == {"rows": []}
    assert set(header["metrics"]) == {"income"}
    told = configuration(loaded, [scene], type("Exported", (), {"report": {"max_abs_difference_to_pytorch": 0.0}})())
    assert [task["predicts"] for task in told["tasks"]] == [True, False, False]


@pytest.mark.parametrize("page", ["explore", "probe", "compare"])
def test_pages_show_it(loaded, page):
    app = open_on(page, model="fairness")
    assert not app.exception and not [error.value for error in app.error]
