"""Objectives that predict nothing by themselves (gaps between groups) on the pages: figures, and no prediction."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.exports.standalone.build import configuration
from app.library.models import ModelRegistry
from app.pictures.scenes import make_scene
from app.pictures.uploads import UploadStore
from app.serving.inference import Inference
from app.serving.protocol import Request, unpack
from palora_core.benchmarks._adult import bundled
from palora_core.benchmarks.fairness import Fairness
from palora_core.errors import UserError
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


def test_groups_are_told_live_at_every_preference(loaded):
    inference = Inference(ModelRegistry(ROOT / "trained_models", ROOT / "no runs"), UploadStore(), work_ahead=False)
    x, targets = loaded.crowd
    for row in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]):
        with torch.no_grad():
            yes = loaded.model(x, torch.tensor(row))["income"].argmax(1) == 1
        header = inference.predict(loaded, "sample-0", tuple(row), exact=True).header
        for name, counted in (("equal_outcomes", targets["income"] >= 0), ("equal_chances", targets["income"] == 1)):
            rows = dict(header["values"][name]["rows"])
            for group, member in (("men", 1), ("women", 0)):
                own = counted & (targets["group"] == member)
                assert rows[group].startswith(f"yes for {100 * float(yes[own].float().mean()):.0f} % ")
                assert rows[group].endswith(f"{int(own.sum())} here")


def test_a_row_is_told_by_its_fields_and_one_of_ones_own_is_read(loaded):
    scene = make_scene(loaded, f"sample-{loaded.samples.chosen}", UploadStore())  # the first that nobody chose
    people, first = bundled(), Fairness().at_hand(1).inputs[0]
    assert list(scene.shown.values()) == [field.shown(code) for field, code in zip(people.fields, first.tolist())]
    rows = dict(scene.describe().header["input"]["rows"])
    assert rows["Sex"] in ("Male", "Female") and "Hours per week" in rows
    store = UploadStore()
    other = {**scene.shown, "sex": "Female" if scene.shown["sex"] == "Male" else "Male"}
    text = ",".join(other) + "\n" + ",".join(map(str, other.values())) + "\n"
    token = store.put(loaded.input_view.input.read(text.encode()), "row.csv")
    own = make_scene(loaded, token, store)
    assert own.shown == other and (own.x != scene.x).sum() == 2  # one value off, one on


def test_every_field_has_a_widget_that_suits_it(loaded):
    header = make_scene(loaded, "sample-0", UploadStore()).describe().header
    fields = {field["name"]: field for field in header["input"]["fields"]}
    assert list(fields) == [field.name for field in bundled().fields]
    assert fields["sex"]["values"] == ["Female", "Male"] and fields["sex"]["other"] == "Same person, other sex"
    assert (fields["age"]["low"], fields["age"]["high"]) == (17, 90) and "values" not in fields["age"]
    assert [name for name, field in fields.items() if "other" in field] == ["sex"]


def test_a_changed_field_is_another_row_and_a_foreign_value_is_refused(loaded):
    shown, view = make_scene(loaded, "sample-0", UploadStore()).shown, loaded.input_view
    assert view.edited({**shown, "age": 41}) == {**shown, "age": 41}
    for wrong in ({"age": 41}, {**shown, "age": 500}, {**shown, "sex": "x"}):
        with pytest.raises(UserError):
            view.edited(wrong)
    app = open_on("explore", model="fairness")
    assert not app.exception and not app.error


def test_people_and_counts_are_those_of_the_groups(loaded):
    x, targets = loaded.crowd
    with torch.no_grad():
        outputs = loaded.model(x, torch.tensor([0.5, 0.5, 0.0]))
    yes, truth = outputs["income"].argmax(1) == 1, targets["income"] == 1
    for name, counted in (("equal_outcomes", truth | ~truth), ("equal_chances", truth)):
        told = loaded.views[name].of_many(outputs, loaded.crowd)
        for (group, *counts), people, member in zip(told["counts"], told["people"], (1, 0)):
            own = counted & (targets["group"] == member)
            parts = (yes & truth, yes & ~truth, ~yes & truth, ~yes & ~truth)
            assert counts == [int((own & part).sum()) for part in parts] and sum(counts) == int(own.sum())
            assert people["name"] == group and people["truth"] == truth[own].int().tolist()
            probabilities = 100 * outputs["income"].softmax(1)[own, 1]
            assert np.allclose(people["yes"], probabilities.numpy(), atol=0.06)


def test_a_scene_says_where_its_decision_flips(loaded):
    inference = Inference(ModelRegistry(ROOT / "trained_models", ROOT / "no runs"), UploadStore(), work_ahead=False)
    try:
        frames = [
            inference.submit("me", Request("scene", 1, model, ("sample-0",))).result(60)
            for model in ("fairness", "fairness-2")
        ]
    finally:
        inference.close()
    for frame, ends in zip(frames, (2, 1)):
        (found,) = unpack(frame)[0]["flips"]
        assert found["task"] == "income" and found["marks"], "the first sample is one that λ changes"
        assert all(len(mark) == ends for mark in found["marks"])


@pytest.mark.parametrize("page", ["probe", "compare"])
def test_pages_show_it(loaded, page):
    app = open_on(page, model="fairness")
    assert not app.exception and not [error.value for error in app.error]
