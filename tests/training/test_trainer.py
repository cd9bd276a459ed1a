"""Training: reproducible, stoppable, resumable, and clear about what goes wrong."""

import json
import os
import random
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from palora_core.data import ArraySplit
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.storage.runs import Run
from palora_core.training.feed import first_inputs
from palora_core.training.options import TrainingOptions
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer

SETTINGS = {
    **{"train_images": 256, "test_images": 64, "num_preferences": 2, "front_points": 3},
    **{"epochs": 2, "batch_size": 64, "samples": 3},
}
NOWHERE = Path("no data: the bundled subset")


def trainer(folder, method="palora", progress=None, **settings) -> Trainer:
    bench, chosen, options = configure("multimnist", method, {**SETTINGS, **settings})
    return Trainer(Run(folder), bench.problem(NOWHERE), chosen, options, device="cpu", progress=progress)


def weights(folder, name="model.safetensors"):
    return load_file(Path(folder) / name)


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class At:
    """A progress callback that does something once, at a step of training."""

    def __init__(self, step, action, what="training"):
        self.step, self.action, self.what, self.done = step, action, what, False

    def __call__(self, what, done, total):
        if what == self.what and done == self.step and not self.done:
            self.done = True
            self.action()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    trainer(folder).start()
    return folder


def test_a_run_leaves_all_that_is_promised(whole):
    run = Run(whole)
    names = {path.name for path in whole.iterdir()}
    assert {"config.json", "events.jsonl", "state.pt", "model.safetensors", "card.json"} <= names
    assert {"front.json", "samples.npz", "best.safetensors", "best.json"} <= names
    assert run.status() == "finished"
    kinds = [event["kind"] for event in run.events()]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert kinds.count("front") == 2
    assert len(Front.load(whole / "front.json").preferences) == 11


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(whole, tmp_path):
    trainer(tmp_path / "same").start()
    trainer(tmp_path / "other", seed=1).start()
    assert equal(weights(whole), weights(tmp_path / "same"))
    assert not equal(weights(whole), weights(tmp_path / "other"))


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_stop_file_stops_after_the_step_and_resuming_ends_like_an_uninterrupted_run(whole, tmp_path, step):
    run = Run(tmp_path / "run")
    trainer(run.folder, progress=At(step, run.request_stop)).start()
    assert run.status() == "stopped"
    assert not run.stop_requested()
    assert not (run.folder / "model.safetensors").exists()
    assert run.last_event()["step"] == step
    resume_trainer(run, NOWHERE, "cpu").resume()
    assert run.status() == "finished"
    assert equal(weights(whole), weights(run.folder))
    fronts = [event["epoch"] for event in run.events() if event["kind"] == "front"]
    assert fronts == [1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_like_a_stop_file(whole, tmp_path, number):
    before = signal.getsignal(number)
    run = Run(tmp_path / "run")
    trainer(run.folder, progress=At(2, lambda: os.kill(os.getpid(), number))).start()
    assert run.status() == "stopped"
    assert signal.getsignal(number) is before
    resume_trainer(run, NOWHERE, "cpu").resume()
    assert equal(weights(whole), weights(run.folder))


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_stop_during_a_front_is_heard_and_the_front_is_made_again(whole, tmp_path, split):
    run = Run(tmp_path / "run")
    settings = {"eval_batch_size": 16}
    trainer(run.folder, progress=At(2, run.request_stop, f"{split} front"), **settings).start()
    assert run.status() == "stopped"
    resume_trainer(run, NOWHERE, "cpu").resume()
    assert equal(weights(whole), weights(run.folder))
    assert [event["epoch"] for event in run.events() if event["kind"] == "front"] == [1, 2]


def test_resuming_a_finished_run_does_nothing(whole):
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    resume_trainer(Run(whole), NOWHERE, "cpu").resume()
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before


def test_a_nan_loss_stops_with_a_sentence_and_keeps_the_last_good_state(tmp_path):
    run = Run(tmp_path / "run")
    work = trainer(run.folder, checkpoint_seconds=0.0)

    def poison() -> None:
        work.problem.sources["train"][0].split.inputs.fill_(float("nan"))

    work.progress = At(5, poison)
    with pytest.raises(UserError, match=r"loss of top_left and bottom_right became NaN or infinite at step 6"):
        work.start()
    assert run.status() == "failed"
    assert "NaN" in run.last_event()["message"]
    again = resume_trainer(run, NOWHERE, "cpu")
    again.state.load()
    assert again.step == 5
    assert all(parameter.isfinite().all() for parameter in again.model.parameters())


@pytest.mark.parametrize("method", ["cagrad", "imtl_g", "phn_epo"])
def test_gradients_that_no_solver_can_take_stop_with_the_same_sentence(tmp_path, method):
    work = trainer(tmp_path / "run", method, num_preferences=1)
    work.problem.sources["train"][0].split.inputs.fill_(float("nan"))
    with pytest.raises(UserError, match=r"gradients became NaN or infinite at step 1; the last good state is kept"):
        work.start()


def test_weights_that_became_nan_are_never_saved(tmp_path):
    work = trainer(tmp_path / "run", checkpoint_seconds=0.0)
    poison = At(3, lambda: next(work.model.parameters()).data.fill_(float("nan")))
    work.progress = poison
    with pytest.raises(UserError, match="weights became NaN"):
        work.start()
    again = resume_trainer(work.run, NOWHERE, "cpu")
    again.state.load()
    assert again.step == 2


def test_any_other_fault_is_noted_in_the_events_and_raised(tmp_path):
    run = Run(tmp_path / "run")

    def fail() -> None:
        raise MemoryError("no room")

    with pytest.raises(MemoryError):
        trainer(run.folder, progress=At(2, fail)).start()
    assert run.status() == "failed"
    assert run.last_event()["message"] == "MemoryError: no room"


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        trainer(tmp_path).start()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("content", [b"", b"not a state", None])
def test_a_damaged_state_is_refused_and_nothing_changes(tmp_path, content):
    run = Run(tmp_path / "run")
    trainer(run.folder, progress=At(2, run.request_stop)).start()
    state = run.folder / "state.pt"
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2] if content is None else content)
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    with pytest.raises(UserError, match=r"state\.pt is damaged or belongs to another run"):
        resume_trainer(run, NOWHERE, "cpu").resume()
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before


def test_any_flipped_bit_of_the_state_is_refused_and_nothing_is_loaded(tmp_path):
    run = Run(tmp_path / "run")
    trainer(run.folder, progress=At(2, run.request_stop)).start()
    state, source = run.folder / "state.pt", random.Random(0)
    whole, again = state.read_bytes(), resume_trainer(run, NOWHERE, "cpu")
    before = {name: tensor.clone() for name, tensor in again.model.state_dict().items()}
    for _ in range(100):
        flipped = bytearray(whole)
        flipped[source.randrange(len(whole))] ^= 1 << source.randrange(8)
        state.write_bytes(flipped)
        with pytest.raises(UserError, match=r"state\.pt is damaged"):
            again.state.load()
    assert equal(again.model.state_dict(), before) and again.step == 0
    state.write_bytes(whole)
    again.state.load()
    assert again.step == 2


def test_the_state_of_another_run_is_refused(whole, tmp_path):
    run = Run(tmp_path / "run")
    trainer(run.folder, rank=2, progress=At(2, run.request_stop)).start()
    (run.folder / "state.pt").write_bytes((whole / "state.pt").read_bytes())
    with pytest.raises(UserError, match="belongs to another run"):
        resume_trainer(run, NOWHERE, "cpu").resume()


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        "{}",
        '{"benchmark": {"name": "multimnist", "options": {"nonsense": 1}}, "training": {}, "method": {}}',
    ],
)
def test_a_damaged_configuration_is_one_sentence(tmp_path, damage):
    (tmp_path / "config.json").write_text(damage)
    with pytest.raises(UserError):
        resume_trainer(Run(tmp_path), NOWHERE)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", 0), ("batch_size", -1), ("lr", 0.0), ("lr", float("nan")), ("samples", -1), ("seed", -1)),
        *(("lr_factor", 0.0), ("lr_milestones", (2.0,)), ("checkpoint_seconds", -1.0), ("calibration_items", 0)),
        *(("front_points", -1), ("eval_batch_size", 0), ("seed", 2**63)),
    ],
)
def test_options_out_of_range_are_named(name, value):
    with pytest.raises(UserError, match=name):
        TrainingOptions(**{name: value})


def test_the_learning_rate_falls_at_the_milestones(tmp_path):
    work = trainer(tmp_path / "run", lr=1e-3, lr_milestones=(0.5, 0.75), lr_factor=0.5)
    rates = []
    for step in range(work.total_steps):
        work.update.begin(step)
        rates.append(work.update.lr)
    assert rates == [1e-3] * 4 + [5e-4] * 2 + [2.5e-4] * 2
    base, adapters = work.update.optimizer.param_groups
    assert adapters["lr"] == pytest.approx(2 * base["lr"])


def test_a_gradient_laid_out_otherwise_than_its_parameter_moves_it_alike(whole, tmp_path):
    """Balancers may stack, sort or transpose gradients; fused Adam would read them in the wrong order."""
    other = trainer(tmp_path / "run")
    backward = other.balancer.backward

    def turned(step):
        result = backward(step)
        for leaf in step.forward_pass.shared:
            axes = range(leaf.dim())
            leaf.grad = leaf.grad.permute(*reversed(axes)).contiguous().permute(*reversed(axes))
        return result

    other.balancer.backward = turned
    other.start()
    assert equal(weights(tmp_path / "run"), weights(whole))


def test_sign_dropout_that_lets_everything_pass_is_linear_scalarization(tmp_path):
    for method, settings in (("ls", {}), ("graddrop", {"leak": 1.0})):
        trainer(tmp_path / method, method, **settings).start()
    ours, theirs = weights(tmp_path / "graddrop"), weights(tmp_path / "ls")
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_training_time_runs_from_0_to_1(whole, tmp_path):
    work = trainer(tmp_path / "run")
    times = []
    for step in range(work.total_steps):
        work.step = step
        times.append(work.tau)
    assert times[0] == 0
    assert times[-1] == 1
    steps = [event for event in Run(whole).events() if event["kind"] == "step"]
    assert steps[0]["tau"] == 0
    assert steps[0]["preferences"] == [[0.5, 0.5], [0.5, 0.5]]  # the schedule starts in the centre
    assert steps[-1]["tau"] == 1


@pytest.mark.parametrize("method", ["ls", "palora"])
def test_batch_norm_statistics_per_preference_travel_with_the_model(tmp_path, method):
    work = trainer(tmp_path / "run", method, **{"norm_layers": True, "epochs": 1, "num_preferences": 1})
    work.start()
    names = [name for name in weights(work.run.folder) if "anchor" in name]
    assert len(names) == 4  # mean and variance of two layers


def test_the_best_weights_are_those_of_the_best_front(tmp_path):
    work = trainer(tmp_path / "run", epochs=3)
    work.start()
    fronts = [event for event in work.run.events() if event["kind"] == "front"]
    best = max(fronts, key=lambda e: (e["hypervolume"], -sum(map(sum, e["objectives"]))))
    card = (work.run.folder / "best.json").read_text()
    assert f'"steps": {best["step"]}' in card


def test_a_run_without_validation_fronts_has_one_at_the_end(tmp_path):
    work = trainer(tmp_path / "run", evaluate_every=0)
    work.start()
    assert [event["epoch"] for event in work.run.events() if event["kind"] == "front"] == [2]


def test_starting_weights_of_another_network_are_refused(whole, tmp_path):
    with pytest.raises(UserError, match="another network"):
        trainer(tmp_path / "run", start_from=str(whole), norm_layers=True)
    with pytest.raises(UserError, match="no checkpoint"):
        trainer(tmp_path / "run", start_from=str(tmp_path / "nothing"))
    assert not (tmp_path / "run").exists()


def test_the_card_says_in_words_what_training_started_with(tmp_path):
    trainer(tmp_path / "first", "ls").start()
    again = trainer(tmp_path / "second", start_from=str(tmp_path / "first"))
    again.start()
    assert again.fronts.card(Front.load(tmp_path / "second" / "front.json"))["training"]["start_from"] == (
        "LS on MultiMNIST, 2 epochs, 8 steps (first)"
    )


@pytest.mark.parametrize(
    ("items", "batch_size", "sizes"), [(256, 4, [4, 4]), (7, 3, [3, 3]), (2, 4, [2]), (256, 16, [10])]
)
def test_statistics_are_estimated_from_the_first_items_in_batches_of_one_size(items, batch_size, sizes):
    split = ArraySplit(torch.arange(10.0)[:, None], {})
    found = list(first_inputs(split, items, batch_size))
    assert [len(x) for x in found] == sizes
    assert torch.cat(found)[:, 0].tolist() == list(range(sum(sizes)))


def test_losses_out_of_proportion_are_named_before_they_hold_parameters_for_good(tmp_path, monkeypatch):
    """Adam would keep infinite squares of such gradients, and those parameters never move again."""
    run = Run(tmp_path / "run")
    work = trainer(run.folder)
    terms = type(work.objectives[0]).terms
    huge = work.objectives[1].name

    def scaled(task, prediction, target):
        total, count = terms(task, prediction, target)
        return (total * 1e30 if task.name == huge else total), count

    monkeypatch.setattr(type(work.objectives[0]), "terms", scaled)
    with pytest.raises(UserError, match=r"gradients became NaN or infinite at step 1.*bottom_right 2\.\d+e\+30: scale"):
        work.start()
    assert run.status() == "failed"


def test_a_negative_loss_is_named_with_its_task(tmp_path, monkeypatch):
    work = trainer(tmp_path / "run", "gls", num_preferences=1)
    terms = type(work.objectives[0]).terms

    def lowered(task, prediction, target):
        total, count = terms(task, prediction, target)
        return (total - 9 * count if task.name == "top_left" else total), count

    monkeypatch.setattr(type(work.objectives[0]), "terms", lowered)
    with pytest.raises(UserError, match=r"GeometricMean is defined for losses of at least 0.*task 'top_left' is -"):
        work.start()


@pytest.mark.parametrize("part", ["training", "method", "benchmark"])
@pytest.mark.parametrize("value", ["text", 3, None, [], True, {"name": []}, {"name": "nothing"}, "x" * 100_000])
def test_a_configuration_with_something_else_in_a_parts_place_is_one_short_sentence(whole, tmp_path, part, value):
    config = json.loads((whole / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, part: value}))
    if part == "training" and isinstance(value, dict):
        return  # its name is of no concern there
    with pytest.raises(UserError) as error:
        resume_trainer(Run(tmp_path), NOWHERE, "cpu")
    assert len(str(error.value)) <= 700


@pytest.mark.parametrize(
    ("option", "value"),
    [("epochs", 2.5), ("epochs", "x"), ("lr", []), ("seed", None), ("batch_size", True), ("precision", 3)],
)
def test_an_option_of_another_type_is_refused(whole, tmp_path, option, value):
    config = json.loads((whole / "config.json").read_text())
    config["training"][option] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=option):
        resume_trainer(Run(tmp_path), NOWHERE, "cpu")
