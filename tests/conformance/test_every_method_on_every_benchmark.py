"""Every registered method on every registered benchmark: it trains, everything moves, a stop leaves no trace.

The default suite runs a covering set of the product: every method on a network with BatchNorm, where it is stopped and
resumed too, every method on one without, and four kinds of methods on every benchmark. The rest is marked slow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from palora_core.balancing.epo import EPO
from palora_core.benchmarks.base import benchmarks
from palora_core.config import options as options_of
from palora_core.evaluation.front import Front
from palora_core.methods.base import methods
from palora_core.simplex import evaluation_preferences
from palora_core.storage.runs import Run
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer

DIGITS = {"train_images": 8, "test_images": 4}
SCENES = {"width": 0.0625, "height": 32, "image_width": 64, "train_images": 4, "val_images": 2, "test_images": 2}
PLAIN = {"backbone": "segnet", "pretrained": False, "norm": "batch", "depth_loss": "l1"}
# Each benchmark's smallest form; one that is not named here is taken as it is.
TINY = {
    **{"multimnist": DIGITS, "multimnist3": DIGITS, "multifashion": DIGITS},
    **{"rooms": SCENES, "streets": SCENES, "cityscapes": {"width": 0.0625}, "nyuv2": {"width": 0.0625}},
    **{"utkface": {"width": 0.25}, "celeba": {"width": 0.25}, "adult": {"hidden": 16}, "census": {"hidden": 16}},
    "fairness": {"hidden": (8,)},
    "real_rooms": SCENES | PLAIN,
    "authors": {"texts": "kings,tea", "block": 16},
}
# For the methods that have these options: sizes that only keep the tests short.
SMALL = {"rank": 1, "num_preferences": 2, "conditioning.hidden": 8, "latent": 8}
TRAINING = {
    **{"epochs": 2, "front_points": 2, "test_points": 0, "evaluate_every": 0, "samples": 1, "calibration_items": 4},
    "precision": "fp32",
}

WITH_NORM, WITHOUT_NORM = "multimnist with BatchNorm", "adult"
KINDS = ("palora", "uw", "mgda", "phn")  # adapters, a scalarised, a Jacobian, a hypernetwork


# Other tests register benchmarks of their own.
BENCHMARKS = [name for name in benchmarks.names() if benchmarks.get(name).__module__.startswith("palora_core.")]


def product(chosen) -> list:
    """All pairs of method and benchmark; those that are not ``chosen`` are slow."""
    cases = [(method, case) for case in (WITH_NORM, *BENCHMARKS) for method in methods]
    marks = [() if chosen(*pair) else pytest.mark.slow for pair in cases]
    return [pytest.param(*pair, marks=mark, id=" on ".join(pair)) for pair, mark in zip(cases, marks)]


def make(method: str, case: str, data: Path, folder: Path) -> Trainer:
    """A trainer of two epochs of two or three steps."""
    name = case.partition(" ")[0]
    settings = {f"benchmark.{key}": value for key, value in TINY.get(name, {}).items()} | TRAINING
    known = {key for option in options_of(methods.get(method)()) for key in (option.name, option.path)}
    settings |= {f"method.{key}": value for key, value in SMALL.items() if key in known}
    if case == WITH_NORM:
        settings["norm_layers"] = True
    if name == "real_rooms":
        settings["lr_parts"] = ""  # of MobileNetV2
    if name == "authors":
        settings["benchmark.base"] = str(data / "base")
    items = len(configure(name, method, settings)[0].load(data)["train"])
    bench, chosen, training = configure(name, method, {**settings, "batch_size": items // 2})
    return Trainer(Run(folder), bench.problem(data), chosen, training, device="cpu")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def learnt(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Every trained tensor: the model's, and weights that the balancer learns."""
    balancer = dict(enumerate(trainer.balancer.parameters()))
    trained = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    return trained | {f"balancer.{i}": p for i, p in balancer.items()}


def stays(trainer: Trainer, name: str) -> bool:
    """Whether a tensor is meant to stay: the heads that single-task learning leaves out."""
    task = getattr(trainer.method.sampler, "task", None)
    others = {other.name for i, other in enumerate(trainer.objectives) if i != task} if task is not None else set()
    return any(f"heads.{other}." in name for other in others)


def may_stay(trainer: Trainer, name: str) -> bool:
    """EPO's programs give some tasks the weight 0: within a few steps of many tasks a head may get no gradient."""
    if trainer.method.balancer != EPO() or not name.startswith("generator.heads."):
        return False
    number = int(name.split(".")[2])
    return any(path.startswith("heads.") for path, _ in trainer.model.places[number])


@pytest.mark.parametrize(
    ("method", "case"), product(lambda method, case: case in (WITH_NORM, WITHOUT_NORM) or method in KINDS)
)
def test_it_trains_everything_that_should_move_moves_and_it_has_a_front(data_for, tmp_path, method, case):
    trainer = make(method, case, data_for(case), tmp_path / "run")
    before = {name: tensor.detach().clone() for name, tensor in learnt(trainer).items()}
    trainer.start()
    assert trainer.run.status() == "finished"
    steps = [event for event in trainer.run.events() if event["kind"] == "step"]
    assert np.isfinite(steps[-1]["losses"]).all()
    after = learnt(trainer)
    assert all(tensor.isfinite().all() for tensor in after.values())
    still = {name for name, tensor in after.items() if torch.equal(tensor, before[name])}
    expected = {name for name in after if stays(trainer, name)}
    assert expected <= still
    assert {name for name in still - expected if not may_stay(trainer, name)} == set()
    front = Front.load(tmp_path / "run" / "front.json")
    points = len(evaluation_preferences(len(trainer.objectives))) if trainer.method.controllable else 1
    assert front.objectives.shape == (points, len(trainer.objectives))
    assert np.isfinite(front.objectives).all()
    assert all(np.isfinite(values).all() for values in front.metrics.values())


@pytest.mark.parametrize(("method", "case"), product(lambda method, case: case == WITH_NORM))
def test_stopped_and_resumed_it_ends_with_the_same_bits(data_for, tmp_path, method, case):
    whole = make(method, case, data_for(case), tmp_path / "whole")
    whole.start()
    stopped = make(method, case, data_for(case), tmp_path / "stopped")
    in_the_middle = stopped.steps_per_epoch + 1

    def stop(what: str, done: int, total: int) -> None:
        if what == "training" and done == in_the_middle:
            stopped.run.request_stop()

    stopped.progress = stop
    stopped.start()
    assert stopped.run.status() == "stopped" and stopped.step == in_the_middle
    torch.manual_seed(99)  # a new process would have other random numbers, too
    resume_trainer(stopped.run, data_for(case), "cpu").resume()
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    fronts = [Front.load(tmp_path / name / "front.json").objectives for name in ("whole", "stopped")]
    np.testing.assert_array_equal(*fronts)
