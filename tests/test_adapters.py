"""Adapters inside layers of every shape, and what is refused."""

import copy
import io
import pickle
import warnings

import pytest
import torch
from torch import nn

from palora_core.active import ActivePreference
from palora_core.adapters import LowRankLayer, factor_shapes, insert_adapters
from palora_core.conditioning.base import conditionings
from palora_core.conditioning.lowrank import LowRank, palorize
from palora_core.errors import UserError
from palora_core.networks.base import networks
from palora_core.serving import LiveNetwork

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

    def forward(self, x):
        return self.second(torch.tanh(self.first(self.words(x))))


def gradients_agree(model, x, preference, rtol=1e-9):
    """``accumulate``, autograd and the merged network are one function."""
    wanted = model(x, preference)
    torch.testing.assert_close(model.merge(preference)(x), wanted)
    model.zero_grad()
    wanted.square().sum().backward()
    plain = {n: p.grad for n, p in model.named_parameters()}
    model.zero_grad()
    with model.accumulate() as at:
        at(preference).forward(x).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (plain[name] is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, plain[name], rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("conditioning", ["lowrank", "dora", "palorize"])
@pytest.mark.parametrize("where", ["layers", "embedding"])
def test_tied_weights_have_tied_adapters(where, conditioning):
    torch.manual_seed(0)

    def made():
        return palorize(Tied(where), 2) if registered is None else registered().condition(Tied(where), 2)

    registered = None if conditioning == "palorize" else conditionings.get(conditioning)
    model = filled(made()).double()
    network, preference = model.network, torch.tensor([0.3, 0.7]).double()
    other = network.first if where == "layers" else network.words
    assert other.adapter_a is network.second.adapter_a and len(model.layers) == (2 if where == "layers" else 3)
    gradients_agree(model, torch.tensor([0, 1, 3, 2]), preference)
    merged = model.merge(preference)
    assert (merged.first if where == "layers" else merged.words).weight is merged.second.weight
    live, x = LiveNetwork(copy.deepcopy(model).float()), torch.tensor([0, 1, 3, 2])
    torch.testing.assert_close(live(x, preference), model(x, preference).float())
    again = made()
    again.double().load_state_dict(model.state_dict(), strict=True)
    torch.testing.assert_close(again(x, preference), model(x, preference))


def test_a_weight_tied_to_one_without_adapters_is_refused():
    with pytest.raises(UserError, match=r"second\.weight and words\.weight are tied"):
        palorize(Tied("embedding"), 2, exclude="words")
    assert len(palorize(Tied("embedding"), 2, exclude=["words", "second"]).layers) == 1


class Conv1D(nn.Module):
    """As transformers has it: a linear layer whose weight is [in, out]."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf, self.weight, self.bias = nf, nn.Parameter(torch.randn(nx, nf)), nn.Parameter(torch.zeros(nf))

    def forward(self, x):
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).view(*x.shape[:-1], self.nf)


MORE = {
    "conv1d of transformers": (lambda: Conv1D(4, 6), (2, 3, 6)),
    "transposed 1-D": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 5)),
    "transposed 2-D": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (2, 4, 5, 5)),
    "transposed 3-D": (lambda: nn.ConvTranspose3d(2, 3, (1, 2, 3)), (2, 2, 3, 4, 4)),
}


@pytest.mark.parametrize("form", ["flat", "kernel"])
@pytest.mark.parametrize("name", MORE)
def test_other_layers_that_multiply_by_their_weight(name, form):
    torch.manual_seed(0)
    make, shape = MORE[name]
    layer, x = make(), torch.randn(shape)
    model = palorize(nn.Sequential(layer), 3, 2, conv_form=form)
    assert torch.equal(model(x, torch.rand(3)), layer(x)) and model.coverage().share == 1
    preference = torch.tensor([0.2, -0.4, 0.9]).double()
    gradients_agree(filled(model).double(), x.double(), preference)
    single = copy.deepcopy(model).float()
    torch.testing.assert_close(LiveNetwork(single, x)(x, preference), model(x.double(), preference).float())


class Attending(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True, **options)

    def forward(self, x):
        other = x[..., : self.attention.kdim]
        return self.attention(x, other, other)[0]


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.layer = kind(6, 4, 2, batch_first=True, **options)

    def forward(self, x):
        return self.layer(x)[0]


HOSTED = {
    "packed attention": (lambda: Attending(), 2),
    "attention apart": (lambda: Attending(kdim=5, vdim=5), 4),
    "encoder": (lambda: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True), 4),
    "lstm": (lambda: Recurrent(nn.LSTM), 4),
    "lstm both ways": (lambda: Recurrent(nn.LSTM, bidirectional=True, proj_size=3), 12),
    "gru": (lambda: Recurrent(nn.GRU, bias=False), 4),
    "rnn": (lambda: Recurrent(nn.RNN), 4),
}


@pytest.mark.parametrize("name", HOSTED)
def test_weights_of_other_names_have_adapters(name):
    torch.manual_seed(0)
    make, count = HOSTED[name]
    network, x = make().eval(), torch.randn(2, 5, 6)
    model = palorize(network, 3, 2)
    assert len(model.layers) == count and model.coverage().share == 1
    torch.testing.assert_close(model(x, torch.rand(3)), network(x))
    preference = torch.tensor([0.2, -0.4, 0.9]).double()
    gradients_agree(filled(model).double(), x.double(), preference)
    wanted, single = model(x.double(), preference).float(), copy.deepcopy(model).float()
    assert not torch.allclose(wanted, network(x), atol=1e-3)
    torch.testing.assert_close(LiveNetwork(single)(x, preference), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pickle.loads(pickle.dumps(single))(x, preference), wanted, rtol=1e-4, atol=1e-5)
    merged = single.merge(preference)
    assert [type(m) for m in merged.modules()] == [type(m) for m in network.modules()]
    assert merged.state_dict().keys() == network.state_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(merged(x), wanted, rtol=1e-4, atol=1e-5)  # also where torch has a fast path
        torch.testing.assert_close(single(x, preference), wanted, rtol=1e-4, atol=1e-5)
    again = palorize(network, 3, 2)
    again.load_state_dict(single.state_dict(), strict=True)
    torch.testing.assert_close(again(x, preference), wanted, rtol=1e-4, atol=1e-5)


def test_an_embedding_has_adapters_where_it_is_asked_for():
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Embedding(9, 6, padding_idx=0), nn.Linear(6, 2)), torch.tensor([[0, 3, 8], [1, 1, 2]])
    assert len(palorize(network, 2, exclude=None, select="1").layers) == 1
    model = filled(palorize(network, 2, select="*")).double()
    assert len(model.layers) == 2 and "0.weight" in model.coverage().adapted
    gradients_agree(model, x, torch.tensor([0.3, 0.7]).double())
    for odd in (nn.Embedding(9, 6, sparse=True), nn.Embedding(9, 6, max_norm=1.0)):
        with pytest.raises(UserError, match="cannot have adapters"):
            palorize(nn.Sequential(odd, nn.Linear(6, 2)), 2, select="*")


def three():
    return nn.ModuleDict({"trunk": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(4, 4)), "heads": nn.Linear(4, 2)})


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["trunk.0", "trunk.1", "heads"]),
        ({"select": "trunk"}, ["trunk.0", "trunk.1"]),
        ({"select": "trunk.*", "exclude": nn.Conv2d}, ["trunk.1"]),
        ({"exclude": "heads"}, ["trunk.0", "trunk.1"]),
        ({"select": ["heads", nn.Conv2d]}, ["trunk.0", "heads"]),
        ({"select": nn.Sequential}, ["trunk.0", "trunk.1"]),
        ({"select": lambda name, layer: name.endswith("1")}, ["trunk.1"]),
    ],
)
def test_layers_are_selected_by_names_patterns_types_and_functions(options, names):
    model = palorize(three(), 2, **options)
    assert [n for n, layer in model.network.named_modules() if isinstance(layer, LowRankLayer)] == names
    coverage = model.coverage()
    assert [f"{name}.weight" for name in names] == list(coverage.adapted)
    assert set(coverage.left_out) == {f"{n}.weight" for n in ("trunk.0", "trunk.1", "heads")} - set(coverage.adapted)
    assert all(name in str(coverage) for name in names)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"select": "truck"}, "select='truck' fits no layer"),
        ({"exclude": nn.LSTM}, "fits no layer"),
        ({"select": 3}, "expected names"),
        ({"exclude": "*"}, "no layer left"),
        ({"rank": {"heads": 2}}, "says nothing"),
        ({"rank": {"*": 0}}, "rank must be"),
    ],
)
def test_selections_that_fit_nothing_are_named(options, match):
    with pytest.raises(UserError, match=match):
        palorize(three(), 2, **options)


def test_rank_and_alpha_by_pattern():
    model = palorize(three(), 2, rank={"*": 1, "trunk": 2, nn.Conv2d: 3}, alpha={"*": 1.0, "heads": 5.0})
    assert [layer.adapter_rank for layer in model.layers] == [3, 2, 1]
    assert [layer.adapter_scale for layer in model.layers] == [1 / 3, 1 / 2, 5.0]
    assert model.describe()["layers"]["heads"] == {"rank": 1, "alpha": 5.0}


def test_a_frozen_base_leaves_the_adapters_to_train():
    model = palorize(three(), 2, freeze_base=True)
    assert {n.rpartition(".")[2] for n, p in model.named_parameters() if p.requires_grad} == {"adapter_a", "adapter_b"}


def test_little_coverage_warns():
    network = nn.Sequential(nn.Embedding(100, 8), nn.Linear(8, 2))
    with pytest.warns(UserWarning, match=r"Only 2% .* 0\.weight"):
        palorize(network, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        palorize(network, 2, select="1")  # a person's own choice


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
