"""Sweeps: every point once, however many workers join; what is left goes on."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.sweeps import Sweep, ablation, folder_name, grid, objectives, parse_parameters

pytest.importorskip("optuna")
ROOT = Path(__file__).resolve().parent.parent


def front(first, second):
    preferences = np.array([[1, 0], [0.5, 0.5], [0, 1]])
    return Front(preferences, np.array([first, second]).T, {}, ("a", "b"), (1.0, 1.0))


def fake_train(point, folder, asked=None):
    """Writes the front of a run whose hypervolume grows with its setting."""
    if asked is not None:
        asked.append(point)
    if point["a"] == "bad":
        return 2
    value = float(point["a"]) / 10
    front([0.8 - value, 0.8, 0.9], [0.9, 0.8, 0.8 - value]).save(folder / "front.json")
    return 0


def test_the_ablation_is_the_papers():
    points = ablation()
    assert len(points) == len({folder_name(point) for point in points}) == 160
    assert {p["temperature"] for p in points if p["sampler"] == "annealed"} == {"1.0", "0.5", "0.2"}
    assert {p["sampler"] for p in points} == {"annealed", "fixed", "annealed_dirichlet", "dirichlet"}


def test_parameters_from_the_command_line():
    assert grid(parse_parameters(["rank=1, 2", "alpha=5"])) == [
        {"rank": "1", "alpha": "5"},
        {"rank": "2", "alpha": "5"},
    ]
    for wrong in ("rank", "=1", "rank="):
        with pytest.raises(UserError, match="--param takes"):
            parse_parameters([wrong])


def test_objectives_are_hypervolume_and_worst_alignment():
    volume, worst = objectives(front([0.2, 0.4, 0.6], [0.6, 0.6, 0.6]))
    assert volume == pytest.approx(0.8 * 0.4)
    assert worst == 0  # the second task does not follow λ: its correlation is not defined


def test_every_point_is_trained_once_and_a_second_worker_finds_nothing(tmp_path):
    asked = []
    points = grid({"a": ["1", "2", "bad"]})
    sweep = Sweep(tmp_path, points, functools.partial(fake_train, asked=asked))
    assert sweep.work(trials=1) == 1
    assert Sweep(tmp_path, points, functools.partial(fake_train, asked=asked)).work() == 2
    assert sweep.work() == 0
    assert sorted(point["a"] for point in asked) == ["1", "2", "bad"]
    assert [row["settings"] for row in sweep.results()] == [{"a": "2"}, {"a": "1"}]
    data = json.loads(sweep.save_results().read_text())
    assert data["points"] == 3 and len(data["results"]) == 2


def test_a_point_whose_worker_was_killed_is_trained_again(tmp_path):
    def killed(point, folder):
        raise KeyboardInterrupt

    points = grid({"a": ["1"]})
    first = Sweep(tmp_path, points, killed)
    with pytest.raises(KeyboardInterrupt):
        first.work()
    study = first._study()
    trial = study.get_trials()[0]
    study._storage.set_trial_user_attr(trial._trial_id, "worker", {**trial.user_attrs["worker"], "pid": 2**22 + 1})
    assert Sweep(tmp_path, points, fake_train).work() == 1
    assert len(first.results()) == 1


def test_points_whose_training_failed_are_named(tmp_path):
    sweep = Sweep(tmp_path, grid({"rank": ("0", "1")}), lambda point, folder: 1)
    assert sweep.work() == 2
    assert sweep.results() == []
    assert {folder.name for folder in sweep.failed()} == {"rank=0", "rank=1"}


def test_a_folder_of_another_sweep_is_refused(tmp_path):
    Sweep(tmp_path, grid({"a": ["1"]}), fake_train).work()
    with pytest.raises(UserError, match="other points"):
        Sweep(tmp_path, grid({"a": ["1", "2"]}), fake_train).work()


def test_two_workers_share_a_sweep_of_real_runs(tmp_path):
    command = [sys.executable, "scripts/sweep.py", "grid", "--benchmark", "multimnist", "--out", tmp_path / "sweep"]
    command += ["--param", "rank=1,2", "--jobs", "2", "--epochs", "1", "--data", tmp_path, "--device", "cpu"]
    for setting in ("train_images=256", "test_images=32", "num_preferences=2", "front_points=2", "samples=1"):
        command += ["--set", setting]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=290)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "sweep" / "results.json").read_text())["results"]
    assert sorted(row["settings"]["rank"] for row in rows) == ["1", "2"]
    assert all((tmp_path / "sweep" / row["folder"] / "model.safetensors").exists() for row in rows)
