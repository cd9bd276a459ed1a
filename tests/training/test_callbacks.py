"""Callbacks and loggers: what they are told and when, and that one that fails is named."""

import sys
import types

import pytest

import palora_core as pc
from palora_core.commands import run as run_command
from palora_core.errors import UserError
from palora_core.storage.runs import Run
from palora_core.training import reporting
from palora_core.training.loggers import LOGGERS, logger, numbers
from tests.training.nets import problem

SETTINGS = {"epochs": 2, "batch_size": 16, "samples": 2, "front_points": 3, "lr": 0.02, "progress": False}


class Recorder:
    def __init__(self):
        self.heard = []

    def on_start(self, trainer, values):
        self.heard.append(("start", values["step"], values))

    def on_step(self, trainer, values):
        assert trainer.step == values["step"]
        self.heard.append(("step", values["step"], values))

    def on_epoch(self, trainer, values):
        self.heard.append(("epoch", values["step"], values))

    def on_front(self, trainer, values):
        self.heard.append(("front", values["step"], values))

    def on_end(self, trainer, values):
        self.heard.append(("end", values["step"], values))


def fit(folder, **settings):
    return pc.fit(problem(), out=folder, **{**SETTINGS, **settings})


def test_callbacks_hear_of_everything_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "REPORT_SECONDS", 1e9)  # whatever is noted in the run folder
    recorder = Recorder()
    run = fit(tmp_path / "run", callbacks=[recorder], schedule="linear")
    first = [*(("step", step) for step in (1, 2, 3, 4)), ("epoch", 4), ("front", 4)]
    second = [*(("step", step) for step in (5, 6, 7, 8)), ("epoch", 8), ("front", 8)]
    expected = [("start", 0), *first, *second, ("front", 8), ("end", 8)]
    assert [(what, step) for what, step, _ in recorder.heard] == expected
    told = {(what, step): values for what, step, values in recorder.heard}
    assert set(told["step", 3]["losses"]) == {"a", "b"} and told["step", 3]["epoch"] == 1
    assert told["step", 5]["lr"] == pytest.approx(0.02 * (1 - 4 / 8))
    assert [values["split"] for what, _, values in recorder.heard if what == "front"] == ["val", "val", "test"]
    assert told["front", 8]["hypervolume"] == pytest.approx(run.front().hypervolume())
    assert told["end", 8]["reason"] == "finished"


def test_a_callback_needs_one_method_only(tmp_path):
    class Fronts:
        seen = 0

        def on_front(self, trainer, values):
            self.seen += 1

    one = Fronts()
    fit(tmp_path / "run", callbacks=[one])
    assert one.seen == 3


@pytest.mark.parametrize("moment", ["on_start", "on_step", "on_epoch", "on_front", "on_end"])
def test_a_callback_that_fails_is_named_and_the_run_can_go_on(tmp_path, moment):
    broken = type("Broken", (), {moment: lambda self, trainer, values: 1 / 0})()
    with pytest.raises(UserError, match=rf"callback Broken failed in {moment} at step \d+ \(ZeroDivisionError"):
        fit(tmp_path / "run", callbacks=[broken])
    assert Run(tmp_path / "run").status() == "failed"
    assert "callback Broken" in Run(tmp_path / "run").last_event()["message"]
    assert fit(tmp_path / "run", resume=True).finished


def test_what_is_no_callback_is_refused(tmp_path):
    for given, said in ((Recorder, "The callback Recorder is a class"), (object(), "object is an object without use")):
        with pytest.raises(UserError, match=said):
            fit(tmp_path / "run", callbacks=[given])


@pytest.mark.parametrize("name", sorted(LOGGERS))
def test_a_logger_that_is_not_installed_is_one_sentence(monkeypatch, name):
    for module in ("torch.utils.tensorboard", "wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"logger {name} needs {name}, which cannot be imported .*pip install {name}"):
        logger(name)


def curves(kept):
    """Name → [(step, value)] of what a fake tool was given."""
    found = {}
    for name, value, step in kept:
        found.setdefault(name, []).append((step, value))
    return found


def check(found, run):
    assert [step for step, _ in found["loss/a"]] == list(range(1, 9))
    assert {"lr", "tau", "loss/b", "val/hypervolume", "val/a/loss", "test/hypervolume"} <= set(found)
    assert found["test/hypervolume"] == [(8, pytest.approx(run.front().hypervolume()))]
    assert found["test/b/loss"][0][1] == pytest.approx(run.front().objectives[:, 1].min())


def stopped_and_resumed(folder, name):
    class Stop:
        def on_step(self, trainer, values):
            if values["step"] == 3:
                trainer.stop()

    fit(folder, loggers=[name], callbacks=[Stop()])
    return fit(folder, loggers=[name], resume=True)


def test_tensorboard_goes_on_in_the_same_curves(tmp_path, monkeypatch):
    kept, opened, closed = [], [], []

    class SummaryWriter:
        def __init__(self, log_dir, purge_step):
            opened.append((log_dir, purge_step))

        def add_scalar(self, name, value, step):
            kept.append((name, value, step))

        def close(self):
            closed.append(True)

    module = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    run = stopped_and_resumed(tmp_path / "run", "tensorboard")
    assert opened == [(str(tmp_path / "run" / "tensorboard"), None), (str(tmp_path / "run" / "tensorboard"), 4)]
    assert len(closed) == 2
    check(curves(kept), run)


def test_wandb_goes_on_in_the_same_run(tmp_path, monkeypatch):
    kept, begun, ended = [], [], []

    class Session:
        def log(self, values, step):
            kept.extend((name, value, step) for name, value in values.items())

        def finish(self, exit_code):
            ended.append(exit_code)

    def init(**options):
        begun.append(options)
        return Session()

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    run = stopped_and_resumed(tmp_path / "run", "wandb")
    assert begun[0]["id"] == begun[1]["id"] and begun[0]["resume"] == "allow" and begun[0]["name"] == "run"
    assert begun[0]["config"]["training"]["lr"] == 0.02
    assert ended == [0, 0]
    check(curves(kept), run)
    fit(tmp_path / "other" / "run", loggers=["wandb"])
    assert begun[2]["id"] != begun[0]["id"]


def test_mlflow_goes_on_in_the_same_run(tmp_path, monkeypatch):
    kept, begun, parameters, ended = [], [], [], []

    def start_run(**options):
        begun.append(options)
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r7"))

    fake = types.SimpleNamespace(
        start_run=start_run,
        log_params=parameters.append,
        log_metrics=lambda values, step: kept.extend((name, value, step) for name, value in values.items()),
        end_run=lambda status: ended.append(status),
    )
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    run = stopped_and_resumed(tmp_path / "run", "mlflow")
    assert begun == [{"run_name": "run"}, {"run_name": "run", "run_id": "r7"}]
    assert len(parameters) == 1 and parameters[0]["training.lr"] == "0.02"
    assert ended == ["FINISHED", "FINISHED"]
    check(curves(kept), run)


def test_a_failed_run_is_told_to_the_tool(tmp_path, monkeypatch):
    ended = []
    session = types.SimpleNamespace(log=lambda values, step: None, finish=ended.append)
    session.finish = lambda exit_code: ended.append(exit_code)
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **options: session))
    broken = type("Broken", (), {"on_step": lambda self, trainer, values: 1 / 0})()
    with pytest.raises(UserError, match="Broken"):
        fit(tmp_path / "run", loggers=["wandb"], callbacks=[broken])
    assert ended == [1]


def test_numbers_of_a_front_are_those_at_the_best_loss(tmp_path):
    front = fit(tmp_path / "run").front()
    found = numbers({"front": front, "split": "test", "hypervolume": front.hypervolume()})
    at = front.objectives[:, 0].argmin()
    metrics = [name for name in front.metrics if name.startswith("a/")]
    assert metrics and all(found[f"test/{name}"] == pytest.approx(front.metrics[name][at]) for name in metrics)


def test_the_command_takes_loggers(tmp_path, monkeypatch, capsys):
    kept = []
    session = types.SimpleNamespace(
        log=lambda values, step: kept.append((step, values)), finish=lambda exit_code: kept.append(exit_code)
    )
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **options: session))
    monkeypatch.setitem(sys.modules, "mlflow", None)
    small = ("train_images=64", "test_images=32", "batch_size=32", "front_points=2", "evaluate_every=0")
    words = ["--benchmark", "multimnist", "--epochs", "1", *(word for pair in small for word in ("--set", pair))]
    assert run_command("train", [*words, "--out", str(tmp_path / "run"), "--logger", "wandb"], "palora train") == 0
    assert [entry[0] for entry in kept[:2]] == [1, 2] and kept[-1] == 0
    assert run_command("train", [*words, "--out", str(tmp_path / "no"), "--logger", "mlflow"], "palora train") == 2
    assert "The logger mlflow needs mlflow" in capsys.readouterr().err and not (tmp_path / "no").exists()
