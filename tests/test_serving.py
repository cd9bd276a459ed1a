"""LiveNetwork: the merged network of λ after λ, BatchNorm folded in, without drift."""

import random

import pytest
import torch
from torch import nn

from palora_core.conditioning.base import ParetoModel
from palora_core.conditioning.lowrank import palorize
from palora_core.errors import UserError
from palora_core.networks.base import networks
from palora_core.normalisation import calibrate
from palora_core.serving import LiveNetwork

PREFERENCES = [(0.3, 0.7), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.0, 0.0), (1.0, -1.0), (-1.0, 2.0), (1.5, 1.5)]


def randomised(model, std):
    generator = torch.Generator().manual_seed(1)
    for layer in model.layers:
        layer.adapter_b.data.normal_(0, std, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    return model.eval()


def lenet(norms=True, tasks=2):
    torch.manual_seed(0)
    outputs = {f"t{k}": 3 for k in range(tasks)}
    return randomised(palorize(networks.get("lenet")(outputs, norms), tasks, 2), 0.2), torch.randn(4, 1, 28, 28)


def segnet():
    torch.manual_seed(0)
    network = networks.get("segnet")({"seg": 5, "depth": 1}, width=0.0625)
    return randomised(palorize(network, 2, 2), 0.05), torch.randn(2, 3, 64, 64)


def tensors(outputs):
    return list(outputs.values()) if isinstance(outputs, dict) else [outputs]


def check(live, model, x, preferences=PREFERENCES, tolerance=1e-5):
    for preference in preferences:
        with torch.no_grad():
            expected = tensors(model.merge(preference)(x))
        for found, wanted in zip(tensors(live(x, preference)), expected):
            assert (found - wanted).norm() <= tolerance * wanted.norm(), preference


def norms_of(network):
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("make", [lenet, segnet])
@pytest.mark.parametrize("example", [True, False])
def test_it_is_the_merged_network(make, anchored, example):
    model, x = make()
    if anchored:
        calibrate(model, lambda: [x])
    live = LiveNetwork(model, x[:1] if example else None)
    assert (norms_of(live.network) == 0) == example  # every BatchNorm folded away
    assert norms_of(model.network) > 0
    # Noise through random layers leaves nearly dead channels, whose small variances amplify rounding errors.
    check(live, model, x, tolerance=5e-5 if anchored and make is segnet else 1e-5)


def test_a_network_without_batch_norm():
    model, x = lenet(norms=False)
    check(LiveNetwork(model, x), model, x)


@pytest.mark.parametrize("tasks", [1, 3, 5])
def test_any_number_of_tasks(tasks):
    model, x = lenet(tasks=tasks)
    calibrate(model, lambda: [x])
    generator = torch.Generator().manual_seed(2)
    inside = torch.rand(4, tasks, generator=generator)
    preferences = [*(inside / inside.sum(1, keepdim=True)), *torch.randn(4, tasks, generator=generator)]
    check(LiveNetwork(model, x), model, x, preferences)


@pytest.mark.parametrize("anchored", [False, True])
def test_no_drift_after_many_changes(anchored):
    model, x = lenet()
    if anchored:
        calibrate(model, lambda: [x])
    live = LiveNetwork(model, x)
    first = {preference: [t.clone() for t in tensors(live(x, preference))] for preference in PREFERENCES}
    order = random.Random(0).choices([*PREFERENCES, (1e6, -1e6)], k=300)
    for preference in order:
        live.set(preference)
    for preference in PREFERENCES:
        assert all(torch.equal(a, b) for a, b in zip(tensors(live(x, preference)), first[preference]))


def test_later_changes_to_the_model_are_not_seen_and_the_model_is_not_touched():
    model, x = lenet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    live = LiveNetwork(model, x)
    expected = tensors(live(x, (0.3, 0.7)))[0].clone()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for parameter in model.parameters():
        parameter.data.zero_()
    live.set((1.0, 0.0))
    assert torch.equal(tensors(live(x, (0.3, 0.7)))[0], expected)


class NoBasis(ParetoModel):
    """λ enters in a way that is not affine: a factor on the last layer."""

    controllable = True

    def basis(self):
        return None

    def _merge_into(self, network, preference):
        network[-1].weight.mul_(1 + preference[0] ** 2)

    def forward(self, x, preference):
        return self.merge(preference)(x)


def test_a_conditioning_that_is_not_affine():
    torch.manual_seed(0)
    model = NoBasis(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)), 2).eval()
    x = torch.randn(3, 1, 4, 4)
    check(LiveNetwork(model, x), model, x)


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("anchored", [False, True])
def test_a_network_that_does_not_depend_on_the_preference(norms, anchored):
    torch.manual_seed(0)
    model = ParetoModel(networks.get("lenet")({"a": 3, "b": 3}, norms), 2).eval()
    x = torch.randn(4, 1, 28, 28)
    if anchored:
        calibrate(model, lambda: [x])
    live = LiveNetwork(model, x)
    assert norms_of(live.network) == 0
    check(live, model, x)


class ReadTwice(nn.Module):
    """The convolution's output goes into the BatchNorm and past it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


def test_a_convolution_that_something_else_reads_too_is_not_folded():
    torch.manual_seed(0)
    model = randomised(palorize(ReadTwice(), 2, 2), 0.3)
    x = torch.randn(2, 1, 8, 8)
    live = LiveNetwork(model, x)
    assert norms_of(live.network) == 1
    check(live, model, x)


class UsedTwice(nn.Module):
    """One convolution before two BatchNorms, one BatchNorm after two convolutions."""

    def __init__(self):
        super().__init__()
        self.conv, self.other = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.first, self.second, self.third = (nn.BatchNorm2d(2) for _ in range(3))

    def forward(self, x):
        return self.third(self.other(self.first(self.conv(x)) + self.second(self.conv(x))))


def test_layers_that_run_twice_are_folded_only_where_that_is_right():
    torch.manual_seed(0)
    model = randomised(palorize(UsedTwice(), 2, 2), 0.3)
    x = torch.randn(2, 2, 8, 8)
    live = LiveNetwork(model, x)
    assert norms_of(live.network) == 2
    check(live, model, x)


def test_layers_of_other_kinds():
    torch.manual_seed(0)
    layers = [nn.Conv1d(2, 4, 3, bias=False), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(24, 5), nn.BatchNorm1d(5)]
    model = randomised(palorize(nn.Sequential(*layers), 2, 2), 0.3)
    x = torch.randn(3, 2, 8)
    calibrate(model, lambda: [x])
    live = LiveNetwork(model, x)
    assert norms_of(live.network) == 0
    check(live, model, x)


def test_half_precision_answers_in_float32():
    model, x = lenet()
    live = LiveNetwork(model, x, torch.bfloat16)
    outputs = tensors(live(x, (0.3, 0.7)))
    assert all(output.dtype == torch.float32 for output in outputs)
    assert norms_of(live.network) == 0
    check(live, model, x, tolerance=0.05)


@pytest.mark.parametrize("preference", [[0.5], [float("nan"), 0.5], "text", None])
def test_bad_preferences_are_refused_and_the_last_one_stays(preference):
    model, x = lenet()
    live = LiveNetwork(model, x)
    before = tensors(live(x, (0.3, 0.7)))[0].clone()
    with pytest.raises(UserError):
        live.set(preference)
    assert torch.equal(tensors(live(x, (0.3, 0.7)))[0], before)
