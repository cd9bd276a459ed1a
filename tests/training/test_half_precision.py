"""fp16's scaled gradients, as far as a CPU can show them, and compiled networks."""

import pytest
import torch

import palora_core as pc
from palora_core import progress
from palora_core.errors import UserError
from palora_core.machine import precision_dtype
from palora_core.storage.runs import Run
from palora_core.training.live import Live
from palora_core.training.setup import configure_problem
from palora_core.training.steps import Steps
from palora_core.training.trainer import Trainer
from palora_core.training.update import Update
from tests.training.nets import Net, arrays, equal, problem

SETTINGS = {"epochs": 2, "batch_size": 16, "samples": 2, "front_points": 3, "lr": 0.02}


def trainer(folder, method="palora", **settings) -> Trainer:
    given = problem()
    chosen, options = configure_problem(given, method, {**SETTINGS, **settings})
    return Trainer(Run(folder), given, chosen, options, device="cpu")


def scaling(work: Trainer, first: float, interval: int = 2000) -> Trainer:
    """``work`` with a scaler, as fp16 has it on a GPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=first, growth_interval=interval)
    learnt = work.balancer.parameters()
    work.update = Update(work.model, learnt, work.options, Live(), work.total_steps, scaler)
    return work


@pytest.mark.parametrize("method", ["palora", "ls", "uw"])
@pytest.mark.parametrize("settings", [{}, {"accumulate": 2, "clip_norm": 0.1, "ema": 0.5}], ids=["plain", "more"])
def test_scaled_gradients_give_the_same_weights(tmp_path, method, settings):
    """Powers of two change no digit, unless something is scaled once too often or not at all."""
    plain, other = trainer(tmp_path / "plain", method, **settings), trainer(tmp_path / "scaled", method, **settings)
    scaling(other, 2.0**12, interval=3).start()
    plain.start()
    assert other.update.scaler.get_scale() > 2.0**12
    for (name, one), two in zip(plain.model.named_parameters(), other.model.parameters()):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7, msg=name)
    for one, two in zip(plain.balancer.parameters(), other.balancer.parameters()):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)
        assert one.abs().max() > 0


def test_the_gradients_on_their_way_are_scaled_and_the_losses_are_not(tmp_path):
    work = trainer(tmp_path / "run")
    (portions,) = work.feed.training(0)
    preferences = torch.tensor([[0.5, 0.5], [0.2, 0.8]])
    found = []
    for scale in (None, torch.tensor(1024.0)):
        work.model.zero_grad(set_to_none=True)
        losses, _ = work.engine(portions, preferences, None, 0.1, scale)
        found.append((losses, [p.grad.clone() for p in work.model.parameters()]))
    assert torch.equal(found[0][0], found[1][0])
    for one, two in zip(found[0][1], found[1][1]):
        torch.testing.assert_close(one * 1024, two)


def test_a_step_that_overflows_is_left_out_and_the_scale_falls(tmp_path):
    work = scaling(trainer(tmp_path / "run"), 2.0**127)
    before = [p.detach().clone() for p in work.model.parameters()]
    work.steps.take()
    assert all(torch.equal(a, b) for a, b in zip(before, work.model.parameters()))
    assert work.update.scaler.get_scale() == 2.0**126 and work.step == 1
    work.start()
    assert not any(torch.equal(a, b) for a, b in zip(before, work.model.parameters()))


def test_gradients_that_no_scale_makes_finite_have_diverged(tmp_path):
    work = scaling(trainer(tmp_path / "run"), 1.0)
    engine, last = work.engine, list(work.model.parameters())[-1]

    def poisoned(*args):
        found = engine(*args)
        last.grad.fill_(float("inf"))
        return found

    work.engine = poisoned
    with pytest.raises(UserError, match="gradients became NaN or infinite at step 1"):
        work.start()


def test_the_scale_is_resumed(tmp_path):
    whole = scaling(trainer(tmp_path / "whole"), 2.0**8, interval=2)
    whole.start()
    part = scaling(trainer(tmp_path / "part"), 2.0**8, interval=2)
    part.stopping.wanted = lambda: part.step == 3
    part.start()
    again = scaling(trainer(tmp_path / "part"), 2.0**8, interval=2)
    again.resume()
    assert again.update.scaler.get_scale() == whole.update.scaler.get_scale() == 2.0**12
    assert equal(whole.model.state_dict(), again.model.state_dict())


def test_fp16_is_for_gpus_and_balancers_of_losses(tmp_path):
    with pytest.raises(UserError, match="precision fp16 needs a CUDA device, found cpu; use fp32, bf16 or auto"):
        precision_dtype("fp16", torch.device("cpu"))
    assert precision_dtype("fp16", torch.device("cuda")) is torch.float16
    with pytest.raises(UserError, match="the balancer MGDA looks at them task by task; use precision bf16"):
        Steps(scaling(trainer(tmp_path / "run", "mgda"), 1.0))


@pytest.mark.parametrize("method", ["palora", "pamal", "phn", "ls"])
def test_a_compiled_network_trains_to_the_same_figures(tmp_path, monkeypatch, method):
    """torch.compile's own code generation is left out: it takes a minute, and is not ours."""
    calls, compiled = [], torch.compile

    def tracing(function, *args, **kwargs):
        def backend(graph, inputs):
            calls.append(len(graph.graph.nodes))
            return graph.forward

        return compiled(function, backend=backend)

    monkeypatch.setattr(torch, "compile", tracing)
    plain, other = trainer(tmp_path / "plain", method), trainer(tmp_path / "compiled", method, compile=True)
    plain.start()
    other.start()
    assert calls
    for (name, one), two in zip(plain.model.named_parameters(), other.model.named_parameters()):
        torch.testing.assert_close(one, two[1], rtol=1e-4, atol=1e-6, msg=name)
    assert plain.model.state_dict().keys() == other.model.state_dict().keys()
    ours, theirs = (pc.Front.load(work.run.folder / "front.json").hypervolume() for work in (plain, other))
    assert ours == pytest.approx(theirs, rel=1e-4)
    if method == "palora":
        x = arrays(4)[0]
        loaded = pc.load(other.run.folder, network=Net())[0]
        torch.testing.assert_close(loaded(x, (0.2, 0.8))["a"], other.model.merge((0.2, 0.8))(x)["a"])


def test_a_network_that_does_not_compile_here_is_one_sentence(tmp_path, monkeypatch):
    def failing(graph, inputs):
        raise RuntimeError("no compiler found")

    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, *args, **kwargs: compiled(function, backend=failing))
    with pytest.raises(UserError, match=r"does not compile here \(.*\); leave out compile"):
        trainer(tmp_path / "run", compile=True).start()


def test_a_bar_is_shown_in_notebooks_and_work_goes_on_without_tqdm(monkeypatch):
    import sys
    import types

    assert progress.hidden() is None
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert progress.hidden() is False
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    bar = progress.Bar()
    bar("training", 1, 2)
    assert bar.shown is False
    bar.close()
