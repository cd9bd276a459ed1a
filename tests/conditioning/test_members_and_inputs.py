"""PaMaL's ensemble and COSMOS's input: what λ does there, starts, ties and refusals."""

import pytest
import torch
from torch import nn

from palora_core.conditioning.ensemble import Ensemble
from palora_core.conditioning.hypernetwork import HyperNetwork
from palora_core.conditioning.inputconcat import InputConcat, WidenedLayer
from palora_core.conditioning.lowrank import LowRank
from palora_core.errors import UserError


def small():
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))


class Tied(nn.Module):
    """One weight in two places, and a parameter directly in a custom module."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.offset = nn.Parameter(torch.randn(3))

    def forward(self, x):
        return self.second(torch.tanh(self.first(x) + self.offset))


def test_one_hot_preference_is_that_member():
    model, x = Ensemble().condition(small(), 2).eval(), torch.randn(4, 1, 4, 4)
    for task in range(2):
        member = small().eval()
        stacked = model.network.state_dict()
        state = {
            k: stacked[k][task] if k in dict(member.named_parameters()) else stacked[k] for k in member.state_dict()
        }
        member.load_state_dict(state)
        torch.testing.assert_close(model(x, torch.eye(2)[task]), member(x))


def test_members_differ_with_reinit_and_are_the_network_without():
    network = small()
    start = [p.detach().clone() for p in network.parameters()]
    kept = Ensemble().condition(network, 3)
    for parameter, wanted in zip(kept.parameters(), start):
        torch.testing.assert_close(parameter, wanted.expand_as(parameter))
    drawn = Ensemble(reinit=True).condition(small(), 3)
    weights = dict(drawn.named_parameters())["network.3.weight"]
    assert len({tuple(member.flatten().tolist()) for member in weights}) == 3


@pytest.mark.parametrize("conditioning", [Ensemble(), HyperNetwork(hidden=8), HyperNetwork(8, 0, 4)])
def test_tied_weights_stay_tied(conditioning):
    torch.manual_seed(0)
    model, x, row = conditioning.condition(Tied(), 2), torch.randn(5, 3), torch.tensor([0.3, 0.9])
    merged = model.merge(row)
    assert merged.first.weight is merged.second.weight
    torch.testing.assert_close(merged(x), model(x, row))
    with model.accumulate() as at:
        at(row).forward(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_attention_reads_mixed_weights():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model, x, row = Ensemble().condition(layer, 2).eval(), torch.randn(2, 3, 8), torch.tensor([0.4, 0.6])
    torch.testing.assert_close(model.merge(row)(x), model(x, row), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("conditioning", [Ensemble(), HyperNetwork()])
def test_refusals(conditioning):
    with pytest.raises(UserError, match="second list of its weights"):
        conditioning.condition(nn.LSTM(2, 2), 2)
    with pytest.raises(UserError, match="no parameters"):
        conditioning.condition(nn.ReLU(), 2)
    with pytest.raises(UserError, match="lazy"):
        conditioning.condition(nn.LazyLinear(2), 2)
    with pytest.raises(UserError, match="already"):
        conditioning.condition(LowRank().condition(small(), 2).network, 2)


def test_outside_a_pass_members_are_the_centre_and_a_hypernetworks_target_says_why_not():
    network = nn.Linear(2, 2)
    model = Ensemble().condition(network, 2)
    torch.testing.assert_close(network(torch.eye(2)), model(torch.eye(2), torch.tensor([0.5, 0.5])))
    network = nn.Linear(2, 2)
    HyperNetwork().condition(network, 2)
    with pytest.raises(UserError, match="depends on a preference"):
        network(torch.eye(2))


def test_widened_layer_keeps_the_given_weights():
    network, x = small().eval(), torch.randn(4, 1, 4, 4)
    wanted, old = network(x), network[0].weight.clone()
    model = InputConcat().condition(network, 2)
    torch.testing.assert_close(model.network[0].weight[:, :1], old)
    torch.testing.assert_close(model.network(x), wanted)  # no preference active: the new inputs are zero
    torch.testing.assert_close(model(x, torch.zeros(2)), wanted)


def test_merged_linear_is_the_plain_layer_with_a_moved_bias():
    for bias in (True, False):
        model = InputConcat().condition(nn.Sequential(nn.Linear(3, 4, bias=bias), nn.ReLU(), nn.Linear(4, 1)), 2)
        merged, x = model.merge(torch.tensor([0.3, 0.7])), torch.randn(5, 3)
        assert type(merged[0]) is nn.Linear and merged[0].weight.shape == (4, 3) and merged[0].in_features == 3
        torch.testing.assert_close(merged(x), model(x, torch.tensor([0.3, 0.7])))


def test_merged_convolution_answers_at_any_image_size():
    model = InputConcat().condition(nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 1, 1)), 2)
    row = torch.tensor([0.3, 0.7])
    merged = model.merge(row)
    for size in ((5, 8), (24, 32)):
        x = torch.randn(2, 1, *size)
        torch.testing.assert_close(merged(x), model(x, row))
    assert not any(isinstance(m, WidenedLayer) for m in merged.modules())


def test_layer_can_be_named_and_1d_convolutions_see_constant_channels():
    network = nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.Conv1d(3, 1, 1))
    model = InputConcat(layer="1").condition(network, 2)
    assert (model.network[0].in_channels, model.network[1].in_channels) == (2, 5)
    x, row = torch.randn(4, 2, 7), torch.tensor([0.1, 0.9])
    torch.testing.assert_close(model.merge(row)(x), model(x, row))
    with pytest.raises(UserError, match="'nowhere'"):
        InputConcat(layer="nowhere").condition(small(), 2)
    with pytest.raises(UserError, match="groups"):
        InputConcat().condition(nn.Conv2d(2, 2, 3, groups=2), 2)
