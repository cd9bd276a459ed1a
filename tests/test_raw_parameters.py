"""Adapters of parameters that are no layer's weight, chosen by name."""

import copy
import pickle

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.errors import UserError
from palora_core.serving import LiveNetwork

PREFERENCE = torch.tensor([0.2, -0.4, 0.9])
SELECT = ["*", "blocks.*.proj_weight", "blocks.0.experts", "blocks.0.listed.1", "place"]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj_weight = nn.Parameter(torch.randn(6, 6))
        self.experts = nn.Parameter(torch.randn(3, 6, 6))
        self.listed = nn.ParameterList([torch.randn(6, 6) for _ in range(2)])
        self.scale = nn.Parameter(torch.ones(6))
        self.counts = nn.Parameter(torch.zeros(2, 2, dtype=torch.long), requires_grad=False)

    def forward(self, x):
        x = torch.tanh(x @ self.proj_weight * self.scale @ self.listed[1] + self.listed[0].sum())
        return torch.einsum("bi,eij->bj", x, self.experts)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.randn(1, 6))
        self.blocks, self.fc = nn.ModuleList([Block(), Block()]), nn.Linear(6, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x + self.place)
        return self.fc(x)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def model(network):
    made = pc.palorize(network, 3, rank={"*": 2, "blocks.0": 3}, alpha=1.5, select=SELECT)
    generator = torch.Generator().manual_seed(1)
    for layer in made.layers:
        layer.adapter_b.data.normal_(0, 0.2, generator=generator)
    return made


def test_the_module_reads_the_mixed_matrix(network, model):
    x = torch.randn(4, 6)
    assert torch.equal(pc.palorize(network, 3, select=SELECT)(x, PREFERENCE), network(x))
    adapted = dict(model.network.named_modules())["blocks.0.low_rank_experts"]
    assert adapted.adapter_a.shape == (3, 3, 6) and adapted.adapter_b.shape == (3, 18, 3)
    products = torch.einsum("t,tri,tic->rc", PREFERENCE, adapted.adapter_b, adapted.adapter_a) * 1.5 / 3
    with model.at(PREFERENCE) as at:
        torch.testing.assert_close(at.blocks[0].experts, network.blocks[0].experts + products.view(3, 6, 6))
    plain = copy.deepcopy(network)
    for name, (base, deltas) in model.basis().items():
        plain.get_parameter(name).data = base + torch.tensordot(PREFERENCE, deltas, 1)
    torch.testing.assert_close(model(x, PREFERENCE), plain(x), rtol=1e-5, atol=1e-5)


def test_merged_live_pickled_and_copied_are_the_same(network, model):
    x = torch.randn(4, 6)
    wanted, merged = model(x, PREFERENCE), model.merge(PREFERENCE)
    assert [type(m) for m in merged.modules()] == [type(m) for m in network.modules()]
    assert merged.state_dict().keys() == network.state_dict().keys()
    others = (merged(x), LiveNetwork(model, x)(x, PREFERENCE), copy.deepcopy(model)(x, PREFERENCE))
    for found in (*others, pickle.loads(pickle.dumps(model))(x, PREFERENCE)):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_accumulate_gives_the_gradients_of_autograd(model):
    model, x = model.double(), torch.randn(4, 6).double()
    model(x, PREFERENCE).square().sum().backward()
    wanted = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    with model.accumulate() as at:
        at(PREFERENCE).forward(x).square().sum().backward()
    for (name, parameter), gradient in zip(model.named_parameters(), wanted):
        torch.testing.assert_close(parameter.grad, gradient, msg=name)


@pytest.mark.parametrize("adapters_only", [False, True])
def test_saved_and_loaded(network, model, tmp_path, adapters_only):
    x = torch.randn(4, 6)
    pc.save(tmp_path, model, adapters_only=adapters_only)
    again, _ = pc.load(tmp_path, network=network if adapters_only else Net())
    torch.testing.assert_close(again(x, PREFERENCE), model(x, PREFERENCE))
    assert again.coverage() == model.coverage()


def test_what_is_covered_and_what_not(model):
    coverage = model.coverage()
    assert {"place", "blocks.1.proj_weight", "blocks.0.listed.1", "fc.weight"} <= set(coverage.adapted)
    assert coverage.left_out["blocks.0.listed.0"] == (36, "of a ParameterList, to be selected by this name")
    only = pc.palorize(model.merge(PREFERENCE), 2, select="blocks.*", exclude=["*.experts", "*.listed.?"])
    assert set(only.coverage().adapted) == {"blocks.0.proj_weight", "blocks.1.proj_weight"}


def test_one_matrix_of_a_recurrent_layer():
    torch.manual_seed(0)
    network, x = nn.ModuleDict({"lstm": nn.LSTM(4, 3), "fc": nn.Linear(3, 2)}), torch.randn(5, 2, 4)
    model = pc.palorize(network, 2, select=["fc", "lstm.weight_hh_l0"])
    assert set(model.coverage().adapted) == {"lstm.weight_hh_l0", "fc.weight"}
    with model.at([0.3, 0.7]) as at:
        torch.testing.assert_close(at["lstm"](x)[0], network["lstm"](x)[0])
    assert len(pc.palorize(network, 2, select=["*", "lstm.weight_hh_l0"]).layers) == 3  # named twice, adapted once


class Odd(nn.Linear):
    def __init__(self):
        super().__init__(4, 4)
        self.extra = nn.Parameter(torch.randn(4, 4))


def tied():
    network = Net()
    network.blocks[0].proj_weight = network.fc.weight = nn.Parameter(torch.randn(6, 6))
    return network


@pytest.mark.parametrize(
    ("make", "select", "match"),
    [
        (Net, "blocks.0.scale", r"'blocks.0.scale' has the shape \[6\]"),
        (Net, "blocks.0.counts", r"holds torch.int64"),
        (Net, "fc.weight", r"selected as 'fc'"),
        (Net, "blocks.0.proj", r"fits no layer"),
        (tied, "blocks.0.proj_weight", r"blocks.0.proj_weight and fc.weight are tied"),
        (lambda: nn.Sequential(Odd()), ["0", "0.extra"], r"'0.extra' lies in the layer '0'"),
        (lambda: pc.palorize(Net(), 2, select="place").network, "place", r"already has adapters"),
    ],
)
def test_what_cannot_have_adapters_is_told(make, select, match):
    with pytest.raises(UserError, match=match):
        pc.palorize(make(), 2, select=select)
