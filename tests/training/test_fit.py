"""Training from Python: the run folder of the scripts, stops and resumes, refusals; one's own objects."""

import copy
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import palora_core as pc
from palora_core.conditioning.lowrank import LowRank
from palora_core.errors import UserError
from palora_core.methods.palora import PaLoRA
from palora_core.storage.runs import Run
from palora_core.tasks import Regression
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer
from tests.training.nets import Net, arrays, equal, problem

SMALL = {"epochs": 2, "batch_size": 8, "samples": 4, "front_points": 3, "lr": 0.02, "progress": False}
ALL = {
    **{"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup": 2, "clip_norm": 0.5},
    **{"accumulate": 2, "ema": 0.7},
}


def fit(folder, given=None, **settings):
    return pc.fit(given or problem(), out=folder, **{**SMALL, **settings})


class At:
    """A progress function that does something once, at a step of training."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def __call__(self, what, done, total):
        if what == "training" and done == self.step and self.action:
            action, self.action = self.action, None
            action()


def test_a_fit_leaves_what_the_scripts_leave(tmp_path):
    given = problem()
    before = copy.deepcopy(given.network.state_dict())
    run = fit(tmp_path / "mine", given, rank=2)
    names = {path.name for path in run.folder.iterdir()}
    assert {"config.json", "events.jsonl", "state.pt", "model.safetensors", "card.json"} <= names
    assert {"front.json", "samples.npz", "best.safetensors", "best.json"} <= names
    assert run.finished and run.front().objectives.shape == (11, 2)
    card = run.card()
    assert card["method"]["conditioning"]["rank"] == 2 and "function of the seed" in card["training"]["order"]
    assert [event["kind"] for event in run.events()][-1] == "end"
    assert equal(before, given.network.state_dict())
    loaded, _ = pc.load(run.folder, network=Net())
    x = arrays(4)[0]
    expected = loaded(x, (0.3, 0.7))
    found = run.model(x, (0.3, 0.7))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not run.model.training


def test_a_benchmark_is_trained_as_the_scripts_train_it(tmp_path):
    settings = {"train_images": 128, "test_images": 64, "batch_size": 32, "epochs": 1, "front_points": 3, "rank": 2}
    run = pc.fit("multimnist", out=tmp_path / "fit", progress=False, **settings)
    bench, method, options = configure("multimnist", "palora", settings)
    Trainer(Run(tmp_path / "script"), bench.problem(Path()), method, options, device="cpu").start()
    for name in ("model.safetensors", "front.json", "samples.npz", "config.json"):
        assert (run.folder / name).read_bytes() == (tmp_path / "script" / name).read_bytes(), name
    again = pc.fit(type(bench)(train_images=128, test_images=64), out=run.folder, resume=True)
    assert equal(run.model.state_dict(), again.model.state_dict())
    with pytest.raises(UserError, match=r"begun with train_images 128, not 0"):
        pc.fit(type(bench)(test_images=64), out=run.folder, resume=True)


@pytest.mark.parametrize("settings", [{}, ALL], ids=["defaults", "all options"])
@pytest.mark.parametrize("step", [1, 4, 5])
def test_control_c_stops_after_the_step_and_resume_ends_like_an_uninterrupted_run(tmp_path, settings, step, capsys):
    given, settings = problem(norm=True), {**settings, "epochs": 3}
    whole = fit(tmp_path / "whole", given, **settings)
    stop = At(step, lambda: os.kill(os.getpid(), signal.SIGINT))
    part = fit(tmp_path / "part", given, **{**settings, "progress": stop})
    assert not part.finished and part.events()[-1] == {**part.events()[-1], "reason": "stopped", "step": step}
    assert f"stopped at step {step} of" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"is stopped, and its front and card come at the end; go on with pc\.fit"):
        part.front()
    done = fit(part.folder, given, **settings, resume=True)
    assert done.finished
    assert equal(whole.model.state_dict(), done.model.state_dict())
    for name in ("model.safetensors", "best.safetensors", "front.json"):
        assert (whole.folder / name).read_bytes() == (done.folder / name).read_bytes(), name


def test_a_callback_can_stop_training(tmp_path):
    class Enough:
        def on_step(self, trainer, values):
            if values["step"] == 3:
                trainer.stop()

    assert fit(tmp_path / "run", callbacks=[Enough()]).events()[-1]["step"] == 3


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"lr": 0.5}, "begun with lr 0.02, not 0.5"),
        ({"rank": 3}, "begun with conditioning.rank 4, not 3"),
        ({"method": "ls"}, "begun with method palora, not ls"),
        ({"method": PaLoRA(conditioning=LowRank(rank=7))}, r"begun with conditioning.rank 4, not 7"),
        ({"sampler": "fixed"}, "begun with sampler annealed, not fixed"),
        ({"optimizer": torch.optim.RAdam}, "begun with optimizer of a name, not torch.optim.radam.RAdam"),
        ({"schedule": lambda step: 1.0}, "begun with schedule of a name, not .*<lambda>"),
        ({"nonsense": 1}, "option 'nonsense' is unknown"),
    ],
)
def test_a_resume_refuses_what_the_run_was_not_begun_with(finished, asked, message):
    with pytest.raises(UserError, match=message):
        pc.fit(problem(), out=finished, resume=True, progress=False, **asked)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("finished") / "run", rank=4).folder


def test_a_run_with_objects_of_its_program_goes_on_there_only(finished):
    with pytest.raises(UserError, match=r"begun by pc\.fit with objects of its own program \(problem '.*Net on a, b'"):
        resume_trainer(Run(finished), Path(), "cpu")
    with pytest.raises(UserError, match="begun with benchmark own, not multimnist"):
        pc.fit("multimnist", out=finished, resume=True)


def test_a_resume_with_other_data_is_refused(tmp_path):
    stop = At(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    fit(tmp_path / "run", progress=stop)
    with pytest.raises(UserError, match=r"with 8 steps in an epoch, and with the training data as they are .* 10"):
        fit(tmp_path / "run", problem(80), resume=True)


def test_a_folder_with_something_in_it_is_left_alone(finished):
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    with pytest.raises(UserError, match="is not empty"):
        fit(finished)
    assert {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


def test_a_run_that_failed_before_its_first_step_leaves_room_for_the_next(tmp_path):
    class Broken(Regression):
        def loss(self, output, target):
            raise RuntimeError("not yet")

    broken = problem()
    broken.objectives = [Broken("a"), Broken("b")]
    with pytest.raises(UserError, match="not yet"):
        fit(tmp_path / "run", broken)
    assert Run(tmp_path / "run").status() == "failed"
    run = fit(tmp_path / "run")
    assert run.finished and [event["kind"] for event in run.events()].count("start") == 1
    with pytest.raises(UserError, match="is not empty"):
        fit(tmp_path / "run")


def test_a_run_that_failed_later_is_left_alone(tmp_path):
    def interrupted():
        raise RuntimeError("too late")

    with pytest.raises(RuntimeError, match="too late"):
        fit(tmp_path / "run", progress=At(1, interrupted))
    with pytest.raises(UserError, match="is not empty"):
        fit(tmp_path / "run")


def test_without_a_folder_one_is_made_that_says_what_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [pc.fit(problem(), method=name, **{**SMALL, "epochs": 1}).folder for name in ("", "palora", "ls")]
    assert [str(folder) for folder in found] == ["runs/net-palora", "runs/net-palora-2", "runs/net-ls"]
    with pytest.raises(UserError, match="resume=True needs the run folder"):
        pc.fit(problem(), resume=True)


@pytest.mark.filterwarnings("error")
def test_a_loaders_order_is_its_own_and_a_resume_says_so(tmp_path):
    x, targets = arrays()
    loader = DataLoader(TensorDataset(x, targets["a"], targets["b"]), batch_size=8, shuffle=True)
    given = problem(train=loader, unpack=lambda found: (found[0], {"a": found[1], "b": found[2]}))
    given.val = given.test = DataLoader(TensorDataset(x, targets["a"], targets["b"]), batch_size=8)
    stop = At(3, lambda: os.kill(os.getpid(), signal.SIGINT))
    first = fit(tmp_path / "run", given, progress=stop)
    assert "the data loader's own" in first.events()[0]["order"]
    with pytest.warns(UserWarning, match="not to the bit like one without a stop"):
        done = fit(tmp_path / "run", given, resume=True)
    assert done.finished and "the data loader's own" in done.card()["training"]["order"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"given": 3}, "The problem is 3; expected a pc.Problem, a benchmark"),
        ({"given": "multimist"}, "did you mean 'multimnist'"),
        ({"epochs": 0}, "epochs must be"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, adamw, sgd"),
        ({"optimizer": 3}, "optimizer is a int; expected a name or a function"),
        ({"sampler": "nonsense"}, "unknown sampler"),
        ({"loggers": ["nonsense"]}, "There is no logger 'nonsense'; expected one of tensorboard, wandb, mlflow"),
        ({"callbacks": [3]}, "The callback int is an object without use"),
        ({"precision": "fp16", "device": "cpu"}, "precision fp16 needs a CUDA device, found cpu"),
        ({"momentum": 0.9}, "momentum has no effect with the optimizer adam"),
        ({"accumulate": 9}, "accumulate 9 needs as many batches in an epoch, and the training data have 8 batches"),
        ({"warmup": 1000}, "warmup takes 1000 steps and training has 16"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path, given, message):
    with pytest.raises(UserError, match=message):
        fit(tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_parts_and_methods_may_be_objects(tmp_path):
    run = fit(tmp_path / "run", conditioning=LowRank(rank=3), balancer="uw")
    config = json.loads((run.folder / "config.json").read_text())["method"]
    assert config["conditioning"]["rank"] == 3 and config["balancer"]["name"] == "uw"
    assert fit(run.folder, conditioning=LowRank(rank=3), resume=True).finished
