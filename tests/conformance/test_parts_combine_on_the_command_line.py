"""Conditionings, balancers and samplers combine by name: ``scripts/train.py`` with no new code."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from palora_core.checkpoint import load
from palora_core.evaluation.front import Front

SCRIPTS = Path(__file__).parents[2] / "scripts"
COMBINATIONS = [
    ("palora", {"balancer": "stch"}),
    ("palora", {"balancer": "nash_mtl"}),
    *((method, {"balancer": "auto_lambda"}) for method in ("palora", "padora", "pamal", "phn")),
    ("palora", {"sampler": "dirichlet"}),
    ("phn", {"balancer": "mgda"}),
    ("pamal", {"balancer": "uw", "sampler": "annealed"}),
    ("cosmos", {"balancer": "linear"}),
    ("ls", {"conditioning": "ensemble", "sampler": "annealed_dirichlet"}),
    # PaLoRA's four ways to balance: none, by losses, by gradients, by both.
    *(("palora", {"balancer": b}) for b in ("linear", "loss_normalised", "gradient_normalised", "fully_normalised")),
]


def train(monkeypatch, *arguments: str) -> int:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(SCRIPTS / "train.py"), run_name="__main__")
    return end.value.code


@pytest.mark.parametrize(("method", "parts"), COMBINATIONS)
def test_a_combination_trains_and_answers_every_preference(monkeypatch, tmp_path, method, parts):
    options = [f"--{part}={name}" for part, name in parts.items()]
    sizes = ["train_images=8", "test_images=4", "batch_size=4", "num_preferences=2", "samples=1", "front_points=2"]
    options += [word for size in sizes for word in ("--set", size)]
    run = tmp_path / "run"
    arguments = ["--benchmark", "multimnist", "--method", method, "--epochs", "1", "--device", "cpu", "--out", str(run)]
    assert train(monkeypatch, *arguments, *options, "--data", str(tmp_path)) == 0
    assert len(Front.load(run / "front.json").objectives) == 11
    model, card = load(run)
    assert model.controllable
    assert {part: card["method"][part]["name"] for part in parts} == parts
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert events[-1]["reason"] == "finished"


def test_a_wrong_name_is_one_sentence(monkeypatch, tmp_path, capsys):
    options = ["--benchmark", "multimnist", "--balancer", "nash", "--out", str(tmp_path / "run")]
    assert train(monkeypatch, *options) == 2
    assert "did you mean 'nash_mtl'?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


BROKEN = [
    (["--set", "num_preferences=0"], "num_preferences must be from 1 to 1,000, found 0"),
    (["--method", "nash_mtl", "--set", "update_every=0"], "update_every must be at least 1, found 0"),
    (["--balancer", "gradient_normalised_last", "--set", "refresh=0"], "refresh must be at least 1, found 0"),
    (["--balancer", "loss_normalised", "--set", "window=0"], "window must be at least 1, found 0"),
    (["--method", "dwa", "--set", "balancer.temperature=0"], "temperature must be above 0, found 0.0"),
]


@pytest.mark.parametrize(("options", "sentence"), BROKEN)
def test_an_option_that_cannot_be_is_named_before_anything_begins(monkeypatch, tmp_path, capsys, options, sentence):
    assert train(monkeypatch, "--benchmark", "multimnist", *options, "--out", str(tmp_path / "run")) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_resuming_with_other_options_is_refused_and_with_the_same_it_goes_on(monkeypatch, tmp_path, capsys):
    run, small = str(tmp_path / "run"), ["--set", "train_images=8", "--set", "test_images=4", "--set", "samples=1"]
    begun = ["--benchmark", "multimnist", "--method", "ls", "--epochs", "1", *small, "--out", run]
    begun += ["--data", str(tmp_path), "--device", "cpu"]
    assert train(monkeypatch, *begun) == 0
    assert train(monkeypatch, *begun, "--resume") == 0
    for other, sentence in (
        (["--epochs", "3"], "begun with epochs 1, not 3"),
        (["--method", "uw"], "begun with method ls, not uw"),
        (["--balancer", "mgda"], "begun with balancer linear, not mgda"),
        (["--set", "test_images=5"], "begun with test_images 4, not 5"),
    ):
        assert train(monkeypatch, "--out", run, "--data", str(tmp_path), "--resume", *other) == 2
        assert sentence in capsys.readouterr().err
