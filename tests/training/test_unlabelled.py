"""A task that some split has no label of: the others train, the best weights move, the figures say what is missing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from palora_core.checkpoint import load
from palora_core.commands.evaluate import print_table
from palora_core.commands.train import report
from palora_core.evaluation.front import Front
from palora_core.storage.runs import Run
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer

SETTINGS = {
    **{"train_images": 128, "test_images": 32, "front_points": 3, "epochs": 3, "batch_size": 32, "samples": 2},
    **{"precision": "fp32"},
}


def trained(folder: Path, splits: tuple[str, ...], method: str = "palora") -> Trainer:
    more = {"num_preferences": 2} if method == "palora" else {}
    bench, chosen, options = configure("multimnist", method, {**SETTINGS, **more})
    work = Trainer(Run(folder), bench.problem(Path("no data: the bundled subset")), chosen, options, device="cpu")
    for name in splits:
        targets = work.problem.sources[name][0].split.targets["bottom_right"]
        targets[:] = -1
    work.start()
    return work


@pytest.mark.parametrize("splits", [("val",), ("test",), ("train",), ("train", "val", "test")])
def test_a_run_ends_with_figures_of_the_measured_tasks(tmp_path, splits):
    work = trained(tmp_path / "run", splits)
    assert work.run.status() == "finished"
    front = Front.load(tmp_path / "run" / "front.json")
    unmeasured = "test" in splits
    assert front.measured.tolist() == [True, not unmeasured]
    assert math.isnan(front.objectives[0, 1]) == unmeasured
    assert front.hypervolume([9.0, 9.0]) > 0
    assert front.nondominated().any()
    model, card = load(tmp_path / "run")
    assert card["front"].get("unmeasured") == (["bottom_right"] if unmeasured else None)
    assert card["front"]["hypervolume"] == pytest.approx(front.hypervolume())
    json.dumps(card, allow_nan=False)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_the_best_weights_move_where_validation_cannot_measure_one_task(tmp_path):
    work = trained(tmp_path / "run", ("val",))
    fronts = [event for event in work.run.events() if event["kind"] == "front"]
    means = [sum(row[0] for row in event["objectives"]) for event in fronts]
    best = means.index(min(means))
    assert best > 0 and all(event["objectives"][0][1] is None for event in fronts)
    card = json.loads((tmp_path / "run" / "best.json").read_text())
    assert card["training"]["steps"] == fronts[best]["step"]


@pytest.mark.parametrize("method", ["dwa", "famo", "gls", "uw", "imtl_l", "mgda", "auto_lambda", "gradnorm", "imtl_g"])
def test_the_labelled_task_is_learnt_by_every_method(tmp_path, method):
    work = trained(tmp_path / "run", ("train", "val"), method)
    losses = [e["objectives"][0][0] for e in work.run.events() if e["kind"] == "front"]
    assert losses[-1] < losses[0] < 2.31
    assert all(parameter.isfinite().all() for parameter in work.model.parameters())


def test_an_epoch_without_a_label_of_a_task_is_said(tmp_path):
    work = trained(tmp_path / "run", ("train",))
    said = [event["message"] for event in work.run.events() if event["kind"] == "warning"]
    assert len(said) == 3 and "bottom_right" in said[0] and "top_left" not in said[0]
    other = trained(tmp_path / "other", ("val",))
    assert not [event for event in other.run.events() if event["kind"] == "warning"]


def test_where_nothing_can_be_measured_there_are_still_weights(tmp_path):
    work = trained(tmp_path / "run", ())
    front = Front.load(tmp_path / "run" / "front.json")
    blank = Front(front.preferences, front.objectives * math.nan, front.metrics, front.tasks, front.reference)
    assert blank.hypervolume() == 0
    assert not blank.nondominated().any()
    assert all(math.isnan(value) for value in blank.spread())
    assert work.fronts.best is not None


def test_the_command_names_what_was_not_learnt_and_not_measured(tmp_path, capsys):
    work = trained(tmp_path / "run", ("train", "test"))
    report(work.run, "palora train")
    said = capsys.readouterr()
    assert "without bottom_right: the test split has no valid target of it" in said.out
    assert said.err.count("warning: The loss of bottom_right was exactly 0") == 1
    print_table(Front.load(tmp_path / "run" / "front.json"))
    assert "without bottom_right" in capsys.readouterr().out
