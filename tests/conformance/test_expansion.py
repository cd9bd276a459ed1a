"""Pareto expansion: it begins in the checkpoint, trains adapters only, and its fronts become Figure 4."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from palora_core.checkpoint import load
from palora_core.errors import UserError
from palora_core.networks.base import networks
from palora_core.storage.runs import Run
from palora_core.training.expansion import growth
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure, configure_expansion
from palora_core.training.trainer import Trainer

SCRIPTS = Path(__file__).parents[2] / "scripts"
SMALL = {"train_images": 64, "test_images": 8, "batch_size": 16, "samples": 1, "num_preferences": 2}
ANY = ([1.0, 0.0], [0.3, 0.7], [0.0, 0.0], [-4.0, 9.0])  # pseudo-preferences, too


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A short run of linear scalarization on MultiMNIST, with BatchNorm."""
    folder = tmp_path_factory.mktemp("expansion") / "ls"
    settings = {key: value for key, value in SMALL.items() if key != "num_preferences"}
    bench, method, options = configure("multimnist", "ls", {**settings, "epochs": 1, "norm_layers": True})
    Trainer(Run(folder), bench.problem(folder), method, options, device="cpu").start()
    return folder


def expansion(source: Path, folder: Path, benchmark: str = "multimnist", data: Path | None = None, **more) -> Trainer:
    chosen = configure_expansion(benchmark, source, {"epochs": 2, **more})
    return Trainer(Run(folder), chosen[0].problem(data or folder), *chosen[1:], device="cpu")


def test_before_training_every_preference_gives_the_checkpoint(checkpoint, tmp_path):
    trainer = expansion(checkpoint, tmp_path / "run", **SMALL, alpha=10)
    plain, _ = load(checkpoint)
    plain = plain.merge(torch.tensor([0.5, 0.5])).eval()
    x, _ = trainer.problem.sources["test"][0].split.batch(torch.arange(8))
    for row in ANY:
        expected, found = plain(x), trainer.model.eval()(x, torch.tensor(row))
        assert all(torch.equal(expected[task], found[task]) for task in expected)


def test_only_adapters_move_and_the_first_front_is_the_checkpoint(checkpoint, tmp_path):
    trainer = expansion(checkpoint, tmp_path / "run", **SMALL, lr=1e-2)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.start()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if "adapter_" in name}
    grown = growth(trainer.run)
    assert grown.fronts.shape == (3, 11, 2)  # before training, and two epochs
    np.testing.assert_allclose(grown.fronts[0], grown.start[None].repeat(11, 0), rtol=1e-6)
    assert grown.spread[0] == pytest.approx(0, abs=1e-6)
    assert (grown.spread[1:] > 0).all()


@pytest.mark.parametrize("config", ["{}", "[]", '{"training": {"start_from": "x"}, "method": {"name": "stl"}}'])
def test_a_foreign_configuration_is_no_expansion(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=r"run palora expand first|not a run configuration"):
        growth(Run(tmp_path))


def test_a_backbone_with_torchvisions_names_is_expanded_with_new_heads_and_resumes(data_for, tmp_path):
    trunk = networks.get("resnet18")(outputs={}, size=32, width=0.25).trunk
    torch.save(trunk.state_dict() | {"fc.weight": torch.ones(1000, 128)}, tmp_path / "resnet.pth")
    settings = {"width": 0.25, "batch_size": 7, "rank": 1, "samples": 1, "front_points": 2, "num_preferences": 1}
    data = data_for("utkface")
    trainer = expansion(tmp_path / "resnet.pth", tmp_path / "run", "utkface", data, **settings)
    assert trainer.method.conditioning.unfrozen == "heads"
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.progress = lambda what, done, total: trainer.run.request_stop() if done == 2 < total else None
    trainer.start()
    (tmp_path / "resnet.pth").unlink()  # a resume does not need it
    resumed = resume_trainer(trainer.run, data, "cpu")
    resumed.resume()
    card = json.loads((trainer.run.folder / "card.json").read_text())
    assert card["start"] == trainer.origin
    assert card["start"]["new"] == ["heads"] and card["start"]["left_out"] == ["fc.weight"]
    assert trainer.run.events()[0]["origin"] == card["start"]["sentence"]
    moved = {name for name, p in resumed.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if "adapter_" in name or name.startswith("network.heads.")}


@pytest.mark.parametrize("name", ["nothing.pth", "resnet.pth"])
def test_a_checkpoint_that_does_not_fit_is_one_sentence(tmp_path, name):
    torch.save({"conv1.weight": torch.ones(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"no checkpoint|another network"):
        configure_expansion("utkface", tmp_path / name, {})
    assert not (tmp_path / "run").exists()


def test_the_command_says_what_was_taken_and_refuses_heads_under_other_names(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    model, _ = load(checkpoint)
    state = model.merge(torch.tensor([0.5, 0.5])).state_dict()
    strange = {name.replace("heads.top_left", "heads.left"): tensor for name, tensor in state.items()}
    for number, (content, more, status) in enumerate(
        [
            ({f"module.{name}": tensor for name, tensor in state.items()}, (), 0),
            (strange, (), 2),
            (strange, ("--set", "start_partly=true"), 0),
        ]
    ):
        torch.save({"model": content}, tmp_path / "start.pt")
        settings = {**SMALL, "norm_layers": True, "train_images": 16, "front_points": 2}
        command = [
            "expand.py",
            "--from",
            str(tmp_path / "start.pt"),
            "--benchmark",
            "multimnist",
            "--epochs",
            "1",
            *more,
        ]
        command += ["--out", str(tmp_path / f"run-{number}"), "--device", "cpu"]
        command += [word for pair in settings.items() for word in ("--set", "=".join(map(str, pair)))]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPTS / "expand.py"), run_name="__main__")
        said = capsys.readouterr()
        assert end.value.code == status, said.err
        if status:
            assert "heads are matched by their names alone" in said.err and not (tmp_path / f"run-{number}").exists()
        else:
            assert ("drawn anew: heads.top_left" if more else "100 % of the network's weights") in said.out


def test_figure_4_from_one_command_that_can_be_given_again(checkpoint, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    command = ["expand.py", "--from", str(checkpoint), "--benchmark", "multimnist", "--out", str(tmp_path / "grown")]
    command += ["--epochs", "1", "--alphas", "1", "5", "--figure", str(tmp_path / "figure.png"), "--device", "cpu"]
    command += [word for pair in SMALL.items() for word in ("--set", "=".join(map(str, pair)))]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPTS / "expand.py"), run_name="__main__")
        assert end.value.code == 0
    numbers = json.loads((tmp_path / "figure.json").read_text())
    assert [one["alpha"] for one in numbers] == [1, 5]
    assert all(one["spread"][0] < 1e-6 < one["spread"][1] for one in numbers)
    assert numbers[0]["fronts"][0] == numbers[1]["fronts"][0]
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "figure.html").read_text()
    assert "before training" in page and "<script src=" not in page
