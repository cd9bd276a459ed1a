"""Number formats: mixed in one network, autocast anywhere around a pass, quantised layers, odd first parameters."""

import copy

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.adapters.branches import QuantisedBranches
from tests.conditioning.test_conformance import NAMES, T, conditioning, difference, images, make

P, Q = [0.2, 0.5, 0.3], [0.7, 0.1, 0.2]


class Eight(nn.Linear):
    """A linear layer of eight-bit whole numbers, as quantising libraries have them."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.scale = float(self.weight.detach().abs().max() / 127)
        codes = (self.weight.detach() / self.scale).round().to(torch.int8)
        self.weight = nn.Parameter(codes, requires_grad=False)

    def forward(self, x):
        return nn.functional.linear(x, self.weight.to(x.dtype) * self.scale, self.bias)


class Coded(nn.Module):
    """The first parameter is a book of codes."""

    def __init__(self, layer):
        super().__init__()
        self.codes = nn.Parameter(torch.zeros(4, dtype=torch.uint8), requires_grad=False)
        self.first, self.second = layer(8, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def filled(network, **options):
    model = pc.palorize(network, T, **options)
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b)
    return model


def gradients(model, run):
    model.zero_grad()
    run()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def accumulated(model, x, *preferences):
    with model.accumulate() as at:
        for preference in preferences:
            at(preference).forward(x).square().sum().backward()


def test_the_preference_keeps_its_digits_whatever_the_first_parameter_is():
    torch.testing.assert_close(filled(Coded(nn.Linear)).as_preference(P), torch.tensor(P))
    assert filled(Coded(nn.Linear).double()).as_preference(P).dtype == torch.float64
    assert pc.palorize(nn.Linear(2, 2).bfloat16(), T).as_preference(P).dtype == torch.float32


@pytest.mark.parametrize("layer", [nn.Linear, Eight])
def test_quantised_layers_have_floating_adapters_and_right_gradients(layer):
    torch.manual_seed(0)
    model = filled(Coded(layer))
    assert all(layer.adapter_a.is_floating_point() for layer in model.layers)
    model, x = model.double(), torch.randn(5, 8).double()
    first = model.network.first
    weight = (first.weight.double() * first.scale if layer is Eight else first.base_weight).detach().requires_grad_()

    def plain(preference):
        scales = torch.tensor(preference).double() / 4
        delta = sum(s * b @ a for s, a, b in zip(scales, first.adapter_a, first.adapter_b))
        second = model.network.second
        other = second.base_weight + sum(s * b @ a for s, a, b in zip(scales, second.adapter_a, second.adapter_b))
        hidden = torch.tanh(nn.functional.linear(x, weight + delta, first.bias))
        return nn.functional.linear(hidden, other, second.bias)

    torch.testing.assert_close(model(x, torch.tensor(P).double()), plain(P), rtol=1e-6, atol=1e-7)
    wanted = gradients(model, lambda: (plain(P).square().sum() + plain(Q).square().sum()).backward())
    for run in (
        lambda: (model(x, P).square().sum() + model(x, Q).square().sum()).backward(),
        lambda: accumulated(model, x, P, Q),
    ):
        found = gradients(model, run)
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-5, atol=1e-6)


def test_what_quantised_layers_cannot_do_is_said():
    model = filled(Coded(Eight))
    assert isinstance(model.network.first, QuantisedBranches)
    for attempt in (lambda: model.merge(P), lambda: pc.LiveNetwork(model)):
        with pytest.raises(pc.UserError, match="quantised"):
            attempt()
    twin = copy.deepcopy(model)
    twin.load_state_dict(model.state_dict())
    x = torch.randn(2, 8)
    assert torch.equal(model.network(x), Coded.forward(model.network, x))
    torch.testing.assert_close(twin(x, P), model(x, P))


class Mixed(nn.Module):
    """A trunk in bfloat16 and a head in single precision."""

    def __init__(self):
        super().__init__()
        self.trunk, self.head = nn.Linear(8, 8).bfloat16(), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.trunk(x.bfloat16())).float())


@pytest.mark.parametrize("many_tasks", [3, 0])
def test_every_layer_mixes_in_its_own_format(many_tasks, monkeypatch):
    monkeypatch.setattr("palora_core.conditioning.lowrank.MANY_TASKS", many_tasks)
    torch.manual_seed(0)
    model, x = filled(Mixed()), torch.randn(5, 8)
    head, scales = model.network.head, torch.tensor(P) / 4
    with model.at(P):
        delta = torch.einsum("t,tor,tri->oi", scales, head.adapter_b, head.adapter_a)
        torch.testing.assert_close(head.weight, head.base_weight + delta, rtol=1e-6, atol=1e-6)
        assert model.network.trunk.weight.dtype == torch.bfloat16
    wanted = gradients(model, lambda: model(x, P).square().sum().backward())
    found = gradients(model, lambda: accumulated(model, x, P))
    for name, parameter in model.named_parameters():
        assert found[name].dtype == parameter.dtype
        assert float((found[name] - wanted[name]).float().norm() / wanted[name].float().norm()) < 0.02, name


@pytest.mark.parametrize("name", NAMES)
def test_autocast_may_be_around_everything(name):
    """Weights are mixed in full precision and rounded once, so the block's place changes nothing."""
    found = []
    for around in (True, False):
        model, x = make(name).train(), images(16)
        with torch.autocast("cpu", torch.bfloat16, enabled=around), model.accumulate() as at:
            for preference in (P, Q):
                one = at(preference)
                with torch.autocast("cpu", torch.bfloat16):
                    outputs = one.forward(x)
                with torch.autocast("cpu", enabled=False):
                    sum(y.float().square().mean() for y in outputs.values()).backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
    for key, wanted in found[1].items():
        if wanted is not None:
            assert found[0][key].dtype == torch.float32
            assert float((found[0][key] - wanted).norm() / wanted.norm().clamp_min(1e-6)) < 1e-2, key


@pytest.mark.parametrize("name", NAMES)
def test_a_network_on_no_device_has_shapes(name):
    model = conditioning(name).condition(make("unconditioned").network, T).to("meta")
    assert model.eval()(images().to("meta"), torch.tensor(P, device="meta"))["a"].shape == (5, 2)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_all_through(name):
    model, x = make(name), images()
    wanted = model.eval()(x, P)
    found = model.bfloat16()(x.bfloat16(), P)
    assert found["a"].dtype == torch.bfloat16
    assert difference(wanted, {task: y.float() for task, y in found.items()}) < 0.2
