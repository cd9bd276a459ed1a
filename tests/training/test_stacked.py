"""The stacked engine does what the sequential one does, in double precision."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from palora_core.balancing.linear import GradientNormalised, Linear
from palora_core.conditioning.lowrank import LowRank, palorize
from palora_core.conditioning.unconditioned import Unconditioned
from palora_core.networks.base import MultiTaskNetwork
from palora_core.networks.lenet import lenet
from palora_core.networks.mlp import mlp
from palora_core.networks.resnet import resnet18
from palora_core.networks.segnet import segnet
from palora_core.samplers import annealed_preferences
from palora_core.sources import whole_step
from palora_core.storage.runs import Run
from palora_core.tasks import Classification, Depth, Regression, Segmentation
from palora_core.training.engine import Sequential
from palora_core.training.engines import choose_engine
from palora_core.training.setup import configure
from palora_core.training.stacked import Stacked, obstacle
from palora_core.training.trainer import Trainer

CPU = torch.device("cpu")


def case(name):
    """A network, its tasks and a batch, in double precision."""
    torch.manual_seed(0)
    if name == "segnet":
        targets = {"s": torch.randint(-1, 5, (2, 32, 32)), "d": torch.rand(2, 1, 32, 32).double()}
        targets["d"][0, :, :9] = 0
        return segnet({"s": 5, "d": 1}, 1 / 16), [Segmentation("s", 5), Depth("d")], (torch.rand(2, 3, 32, 32), targets)
    if name == "mlp":
        targets = {f"t{i}": torch.rand(6, 1).double() for i in range(3)}
        return mlp(dict.fromkeys(targets, 1), 7, (9,)), [Regression(n) for n in targets], (torch.rand(6, 7), targets)
    targets = {"a": torch.randint(4, (5,)), "b": torch.randint(4, (5,))}
    tasks = [Classification("a", 4), Classification("b", 4)]
    if name == "resnet":
        return resnet18({"a": 4, "b": 4}, 32, 1 / 16), tasks, (torch.rand(5, 3, 32, 32), targets)
    network = lenet({"a": 4, "b": 4}, batch_norm=name == "lenet with BatchNorm")
    return network, tasks, (torch.rand(5, 1, 28, 28), targets)


def prepared(name):
    network, tasks, (x, targets) = case(name)
    model = palorize(network.double(), len(tasks), 2).train()
    with torch.no_grad():
        for layer in model.layers:
            layer.adapter_b.normal_(std=0.1)
    return model, tasks, (x.double(), targets)


def both(name, count):
    model, tasks, batch = prepared(name)
    preferences = annealed_preferences(len(tasks), count, 0.7, 0.5).double()
    other = copy.deepcopy(model)
    first, _ = Sequential(model, tasks, Linear())(whole_step(batch, len(tasks)), preferences)
    second, _ = Stacked(other, tasks, Linear())(whole_step(batch, len(tasks)), preferences)
    return model, other, first, second


@pytest.mark.parametrize(
    ("name", "count"),
    [("lenet", 3), ("lenet with BatchNorm", 1), ("lenet with BatchNorm", 3), ("segnet", 2), ("resnet", 2), ("mlp", 4)],
)
def test_losses_gradients_and_running_statistics_are_those_of_passes_in_a_row(name, count):
    model, other, first, second = both(name, count)
    assert torch.allclose(first, second, rtol=1e-12, atol=1e-12)
    for (key, one), two in zip(model.named_parameters(), other.parameters()):
        scale = one.grad.norm() + 1e-12
        # A convolution's bias before a BatchNorm has the gradient 0, up to rounding of the sums that make it.
        assert (one.grad - two.grad).norm() <= 1e-10 * scale + 1e-13, key
    for (key, one), two in zip(model.named_buffers(), other.buffers()):
        assert torch.allclose(one, two, rtol=1e-12, atol=1e-14), key


def test_every_preference_has_batch_statistics_of_its_own():
    model, _, _, second = both("lenet with BatchNorm", 3)
    alone = copy.deepcopy(model)
    _, tasks, batch = prepared("lenet with BatchNorm")
    with torch.no_grad():
        outputs = alone(batch[0], annealed_preferences(2, 3, 0.7, 0.5).double()[2])
    losses = [task.loss(outputs, batch) for task in tasks]
    assert torch.allclose(second[2], torch.stack(losses), rtol=1e-12)


def test_frozen_base_weights_get_no_gradient():
    network, tasks, batch = case("lenet")
    model = LowRank(rank=1, adapters_only=True).condition(network, 2)
    Stacked(model, tasks, Linear())(whole_step(batch, len(tasks)), annealed_preferences(2, 2, 1.0))
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def chosen(name, model, device):
    engine, reason = choose_engine(name, model, [], Linear(), torch.float32, device)
    return type(engine), reason


def test_what_cannot_be_stacked_says_why():
    network, _, _ = case("lenet with BatchNorm")
    model = palorize(network, 2)
    assert obstacle(model, Linear()) is None
    assert "several sources" in obstacle(model, Linear(), 2)
    assert "one preference at a time" in obstacle(model, GradientNormalised())
    assert "merged low-rank weights" in obstacle(Unconditioned().condition(network, 2), Linear())
    model.network.trunk[1].momentum = None
    assert "cumulative average" in obstacle(model, Linear())
    engine, reason = chosen("stacked", model, CPU)
    assert engine is Sequential
    assert "cumulative average" in reason


def test_auto_stacks_small_networks_on_a_gpu_only():
    small = palorize(case("lenet")[0], 2)
    large = palorize(MultiTaskNetwork(nn.Linear(2000, 1001), {"a": nn.Linear(1001, 1)}), 2)
    cuda = torch.device("cuda")
    assert chosen("auto", small, CPU)[0] is Sequential
    assert chosen("auto", small, cuda)[0] is Stacked
    assert chosen("auto", large, cuda)[0] is Sequential
    assert chosen("sequential", small, cuda)[0] is Sequential


class Waits(TorchDispatchMode):
    """Notes operations that make the processor wait for the device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            self.found.append(func)
        return func(*args, **(kwargs or {}))


def test_a_step_never_waits_for_the_device(monkeypatch):
    model, tasks, batch = prepared("lenet")
    for kind in {type(task) for task in tasks}:
        monkeypatch.setattr(kind, "_check", lambda task, target: None)  # it looks at targets on the CPU alone
    with Waits() as waits:
        Stacked(model, tasks, Linear())(whole_step(batch, len(tasks)), annealed_preferences(2, 2, 1.0))
        assert waits.found == []
        torch.ones(()).item()
    assert len(waits.found) == 1  # so the test would have seen one


def test_a_run_says_which_engine_it_used(tmp_path):
    settings = {"train_images": 64, "test_images": 16, "epochs": 1, "batch_size": 32, "engine": "stacked"}
    bench, method, options = configure("multimnist", "palora", {**settings, "front_points": 2, "samples": 1})
    work = Trainer(Run(tmp_path / "run"), bench.problem(Path("none")), method, options, device="cpu")
    work.start()
    assert work.run.events()[0]["engine"] == "stacked: as asked for"
    assert work.run.status() == "finished"
