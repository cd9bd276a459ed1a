"""Conditionings, balancers and samplers combine by name: ``scripts/train.py`` with no new code."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from palora_core.checkpoint import load
from palora_core.front import Front

SCRIPTS = Path(__file__).parents[2] / "scripts"
COMBINATIONS = [
    ("palora", {"balancer": "stch"}),
    ("palora", {"balancer": "nash_mtl"}),
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
