"""Adapters inside layers of every shape, and what is refused."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from palora_core.active import ActivePreference
from palora_core.adapters import LowRankLayer, factor_shapes, insert_adapters
from palora_core.conditioning.lowrank import LowRank, palorize
from palora_core.errors import UserError
from palora_core.networks.base import networks

LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (2, 6)),
    "linear without bias": (lambda: nn.Linear(6, 4, bias=False), (2, 3, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2), (2, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1), (2, 4, 7, 7)),
    "conv2d without bias": (lambda: nn.Conv2d(4, 6, 3, bias=False), (2, 4, 7, 7)),
    "strided, dilated": (lambda: nn.Conv2d(4, 6, 3, stride=2, dilation=2), (2, 4, 11, 11)),
    "groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 7, 7)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 5, groups=4, padding=2), (2, 4, 7, 7)),
    "wide kernel": (lambda: nn.Conv2d(4, 6, (1, 7), padding=(0, 3)), (2, 4, 9, 9)),
    "tall kernel": (lambda: nn.Conv2d(4, 6, (5, 2)), (2, 4, 9, 9)),
    "1 × 1": (lambda: nn.Conv2d(4, 6, 1), (2, 4, 3, 3)),
    "reflecting padding": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (2, 4, 7, 7)),
    "conv3d": (lambda: nn.Conv3d(2, 4, (2, 3, 3), groups=2), (2, 2, 5, 6, 6)),
}
PREFERENCES = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.2, 0.3, 0.5], [0.0, 0.0, 0.0], [1.5, -1.0, 0.5], [-1.0, -1.0, -1.0]]


def filled(model, std=0.5, seed=1):
    """Random B, so that λ matters."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.layers:
        layer.adapter_b.data.normal_(0, std, generator=generator)
    return model


@pytest.fixture(params=LAYERS)
def layer_and_input(request):
    torch.manual_seed(0)
    make, shape = LAYERS[request.param]
    return make(), torch.randn(shape)


@pytest.mark.parametrize("form", ["flat", "kernel"])
@pytest.mark.parametrize("rank", [1, 3])
def test_the_output_is_the_networks_own_at_the_start_for_every_preference(layer_and_input, form, rank):
    layer, x = layer_and_input
    model = palorize(layer, 3, rank, conv_form=form)
    expected = layer(x)
    for preference in PREFERENCES:
        assert torch.equal(model(x, torch.tensor(preference)), expected)
    assert not isinstance(layer, LowRankLayer)  # palorize works on a copy


@pytest.mark.parametrize("form", ["flat", "kernel"])
@pytest.mark.parametrize("preference", PREFERENCES)
def test_a_merged_layer_is_the_layer_at_that_preference(layer_and_input, form, preference):
    layer, x = layer_and_input
    model = filled(palorize(layer, 3, 2, alpha=1.7, conv_form=form))
    merged = model.merge(torch.tensor(preference))
    assert type(merged) is type(layer)
    assert merged.state_dict().keys() == layer.state_dict().keys()
    torch.testing.assert_close(merged(x), model(x, torch.tensor(preference)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("form", ["flat", "kernel"])
def test_weights_are_equation_1_and_linear_in_the_preference(layer_and_input, form):
    layer, _ = layer_and_input
    model = filled(palorize(layer, 3, 2, alpha=1.7, conv_form=form).double())
    (adapted,) = model.layers
    products = [1.7 / 2 * (b @ a).view_as(layer.weight) for a, b in zip(adapted.adapter_a, adapted.adapter_b)]
    for preference in torch.tensor(PREFERENCES, dtype=torch.float64):
        expected = layer.weight.double() + sum(weight * product for weight, product in zip(preference, products))
        torch.testing.assert_close(adapted.mixed_weight(preference), expected)
    for task, one_hot in enumerate(torch.eye(3, dtype=torch.float64)):
        torch.testing.assert_close(adapted.mixed_weight(one_hot), adapted.base_weight + adapted.deltas()[task])


def test_gradients_of_deltas_follow_the_chain_rule(layer_and_input):
    layer, _ = layer_and_input
    model = filled(palorize(layer, 3, 2).double())
    (adapted,) = model.layers
    upstream = torch.randn(3, *layer.weight.shape, dtype=torch.float64)
    product = torch.bmm(adapted.adapter_b, adapted.adapter_a) * adapted.adapter_scale
    product.backward(upstream.flatten(1).view_as(product))
    grad_a, grad_b = adapted.delta_gradients(upstream)
    torch.testing.assert_close(grad_a, adapted.adapter_a.grad)
    torch.testing.assert_close(grad_b, adapted.adapter_b.grad)


@pytest.mark.parametrize(
    ("network", "outputs", "rank", "tasks", "extra", "percent"),
    [
        ("lenet", {"left": 10, "right": 10}, 1, 2, 3_430, "12.4954"),
        ("segnet", {"segmentation": 7, "depth": 1}, 4, 2, 1_047_320, "4.1863"),
        ("segnet", {"segmentation": 13, "depth": 1, "normals": 3}, 4, 3, 1_585_680, "6.3287"),
    ],
)
def test_parameter_counts_are_those_of_the_paper(network, outputs, rank, tasks, extra, percent):
    with torch.device("meta"):
        plain = networks.get(network)(outputs)
        base = sum(p.numel() for p in plain.parameters())
        model = LowRank(rank).condition(plain, tasks)
    assert model.num_adapter_parameters == extra
    assert sum(p.numel() for p in model.parameters()) == base + extra
    assert f"{100 * extra / base:.4f}" == percent


def test_factors_of_the_two_forms():
    square = torch.Size((8, 4, 3, 3))
    assert factor_shapes(square, 1, 2, "flat") == ((6, 12), (24, 6))
    assert factor_shapes(square, 1, 2, "kernel") == ((2, 36), (8, 2))
    assert factor_shapes(torch.Size((8, 4)), 1, 2, "flat") == ((2, 4), (8, 2))
    assert factor_shapes(torch.Size((8, 2, 3, 3)), 2, 1, "flat") == ((3, 12), (12, 3))
    for weight, groups in [((8, 2, 1, 7), 2), ((8, 4, 5), 1), ((6, 4, 2, 3, 3), 1)]:
        for form in ("flat", "kernel"):
            (inner, columns), (rows, same) = factor_shapes(torch.Size(weight), groups, 2, form)
            assert inner == same
            assert rows * columns == torch.Size(weight).numel()


class Tied(nn.Module):
    def __init__(self, where):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.words = nn.Embedding(4, 4)
        if where == "layers":
            self.second.weight = self.first.weight
        else:
            self.second.weight = self.words.weight


@pytest.mark.parametrize("where", ["layers", "embedding"])
def test_tied_weights_are_refused_by_name(where):
    network = Tied(where)
    with pytest.raises(UserError, match=r"weights .* and .*second\.weight are tied|second\.weight and .* are tied"):
        palorize(network, 2)
    assert not any(isinstance(layer, LowRankLayer) for layer in network.modules())


def test_refusals_leave_the_network_as_it_was():
    network = nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(4))
    with pytest.raises(UserError, match="lazy"):
        insert_adapters(network, 2, 1, 1.0)
    assert type(network[0]) is nn.Linear


@pytest.mark.parametrize(
    ("network", "options", "match"),
    [
        (nn.ReLU(), {}, "no Linear or Conv layer"),
        (nn.Linear(2, 2), {"num_tasks": 0}, "num_tasks must be"),
        (nn.Linear(2, 2), {"num_tasks": 2.0}, "num_tasks must be"),
        (nn.Linear(2, 2), {"rank": 0}, "rank must be"),
        (nn.Linear(2, 2), {"rank": True}, "rank must be"),
        (nn.Linear(2, 2), {"alpha": float("nan")}, "alpha must be"),
        (nn.Linear(2, 2), {"conv_form": "round"}, "conv_form must be"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), {}, "parametrised"),
        (nn.LazyLinear(2), {}, "lazy"),
    ],
)
def test_bad_options_and_layers_are_named(network, options, match):
    with pytest.raises(UserError, match=match):
        palorize(network, **{"num_tasks": 2, **options})


def test_a_network_with_adapters_is_not_adapted_again():
    with pytest.raises(UserError, match="already has adapters"):
        palorize(palorize(nn.Linear(2, 2), 2).network, 2)


def test_chosen_layers_only():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    layers = insert_adapters(network, 2, 1, 1.0, active=ActivePreference(), select=lambda name, layer: name == "1")
    assert layers == [network[1]]
    assert type(network[0]) is nn.Linear


def test_a_module_in_two_places_has_one_set_of_adapters():
    layer = nn.Linear(4, 4).double()
    model, x = filled(palorize(nn.Sequential(layer, nn.Tanh(), layer), 2)), torch.randn(3, 4).double()
    preference = torch.tensor([0.3, 0.7]).double()
    assert len(model.layers) == 1
    torch.testing.assert_close(model(x, preference), model.merge(preference)(x))
    with model.accumulate() as at:
        at(preference).forward(x).square().sum().backward()
    found = [p.grad for p in model.parameters()]
    model.zero_grad()
    model(x, preference).square().sum().backward()
    for gradient, parameter in zip(found, model.parameters()):
        torch.testing.assert_close(gradient, parameter.grad)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), "torch"])
def test_copies_and_pickles_predict_the_same_and_are_independent(copier):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    model = filled(palorize(network, 2)).eval()
    if copier == "torch":
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        again = torch.load(buffer, weights_only=False)
    else:
        again = copier(model)
    x, preference = torch.randn(2, 1, 8, 8), torch.tensor([0.3, 0.7])
    expected = model(x, preference)
    assert torch.equal(again(x, preference), expected)
    for layer in again.layers:
        assert layer.active is again.active
        layer.adapter_b.data.zero_()
    assert torch.equal(model(x, preference), expected)


def test_moving_to_another_precision_moves_the_adapters():
    model = filled(palorize(nn.Linear(3, 2), 2)).to(torch.float64)
    assert model(torch.randn(1, 3, dtype=torch.float64), [0.5, 0.5]).dtype == torch.float64
    assert "adapter_inner=4" in repr(model)


@pytest.mark.parametrize("preference", [[0.5], [0.5, 0.5, 0.0], [float("nan"), 1.0], [float("inf"), 0.0], "ab", None])
def test_preferences_of_another_length_or_with_nan_are_refused(preference):
    model = palorize(nn.Linear(3, 2), 2)
    for use in (lambda: model(torch.zeros(1, 3), preference), lambda: model.merge(preference)):
        with pytest.raises(UserError):
            use()
