"""What a served network is rearranged into: joined heads, layers left exact, number formats, plain λ arithmetic."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from palora_core.conditioning.lowrank import palorize
from palora_core.networks.base import networks
from palora_core.normalisation import anchor_weights, anchor_weights_of, calibrate, norms_with_statistics
from palora_core.serving import LiveNetwork
from palora_core.serving.formats import HalfReLU, Pointwise
from palora_core.serving.trace import trace

PREFERENCES = [(0.3, 0.7), (1.0, 0.0), (0.0, 0.0), (-1.0, 2.0)]


def adapted(network, tasks=2, std=0.1):
    model = palorize(network, tasks, 2)
    generator = torch.Generator().manual_seed(0)
    for layer in model.layers:
        layer.adapter_b.data.normal_(0, std, generator=generator)
    return model.eval()


def segnet(tasks=("seg", "depth")):
    torch.manual_seed(0)
    outputs = {name: 5 if name == "seg" else 1 for name in tasks}
    model = adapted(networks.get("segnet")(outputs, width=0.125), len(tasks), 0.05)
    x = torch.randn(2, 3, 64, 64)
    calibrate(model, lambda: [x])
    return model, x


def worst(live, model, x, preferences=PREFERENCES):
    """Largest relative distance to the merged network's outputs."""
    distances = []
    for preference in preferences:
        with torch.no_grad():
            wanted = model.merge(preference)(x)
        found = live(x, preference)
        assert found.keys() == wanted.keys()
        distances += [float((found[k] - wanted[k]).norm() / wanted[k].norm()) for k in wanted]
    return max(distances)


@pytest.mark.parametrize("tasks", [("seg",), ("seg", "depth"), ("seg", "depth", "normals")])
def test_heads_become_one_convolution_and_nothing_changes(tasks):
    model, x = segnet(tasks)
    live = LiveNetwork(model, x)
    assert len(live._heads) == 1 and len(live._heads[0].heads) == len(tasks)
    grid = PREFERENCES if len(tasks) == 2 else [torch.full((len(tasks),), 0.4), *torch.eye(len(tasks))]
    assert worst(live, model, x, grid) < 5e-5
    assert worst(live, model, x[:1], grid) < 5e-5, "another size of batch"


def test_two_inputs_in_turn_are_not_mistaken_for_each_other():
    model, x = segnet()
    live = LiveNetwork(model, x)
    first, second = x[:1].clone(), x[1:].clone()
    expected = [live(first, (0.3, 0.7))["seg"].clone(), live(second, (0.3, 0.7))["seg"].clone()]
    for _ in range(3):
        assert torch.equal(live(first, (0.3, 0.7))["seg"], expected[0])
        assert torch.equal(live(second, (0.3, 0.7))["seg"], expected[1])
    first.copy_(second)
    assert torch.equal(live(first, (0.3, 0.7))["seg"], expected[1]), "the same tensor with other content"


class Between(nn.Module):
    """Something happens between the two convolutions of each head, in place or not."""

    def __init__(self, what):
        super().__init__()
        self.what = what
        self.first = nn.ModuleList(nn.Conv2d(3, 8, 3, padding=1) for _ in range(2))
        self.second = nn.ModuleList(nn.Conv2d(8, 4, 1) for _ in range(2))

    def forward(self, x):
        outputs = {}
        for i, (first, second) in enumerate(zip(self.first, self.second)):
            y = first(x)
            if self.what == "in place":
                F.relu_(y)
            elif self.what == "function":
                y = y.tanh()
            outputs[f"t{i}"] = second(y) + (y.mean() if self.what == "read twice" else 0)
        return outputs


@pytest.mark.parametrize("what", ["nothing", "in place", "function", "read twice"])
def test_convolutions_are_composed_only_where_nothing_is_between(what):
    torch.manual_seed(0)
    model = adapted(Between(what))
    x = torch.randn(2, 3, 16, 16)
    live = LiveNetwork(model, x)
    composed = [head for heads in live._heads for head in heads.heads if head.second is not None]
    assert len(composed) == (2 if what == "nothing" else 0)
    assert worst(live, model, x) < 1e-5


@pytest.mark.parametrize(
    "geometry", [{"padding": 1}, {"stride": 2}, {"padding": "same"}, {"groups": 2}, {"bias": False}]
)
def test_heads_of_any_geometry(geometry):
    class Siblings(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 2, 3, **geometry), nn.Conv2d(4, 6, 3, **geometry)
            self.c = nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return {"a": self.a(x), "b": self.b(x), "c": self.c(x)}

    torch.manual_seed(0)
    model, x = adapted(Siblings()), torch.randn(2, 4, 9, 7)
    assert worst(LiveNetwork(model, x), model, x) < 1e-5


@pytest.mark.parametrize("count", [1, 3, 8, 100])
def test_the_first_layers_stay_exact(count):
    model, x = segnet()
    live = LiveNetwork(model, x, torch.bfloat16, exact=count)
    network = model.merge((0.5, 0.5))
    order = [name for name in trace(network, lambda: network(x)).order if "heads" not in name]
    convolutions = [name for name in order if name.endswith(".0")]
    found = [live.network.get_submodule(name).weight.dtype for name in convolutions]
    assert found == [torch.float32 if i < count else torch.bfloat16 for i in range(len(convolutions))]
    outputs = live(x, (0.3, 0.7))
    assert all(o.dtype == torch.float32 and o.is_contiguous() and o.isfinite().all() for o in outputs.values())


def test_more_exact_layers_are_nearer_to_the_exact_network():
    model, x = segnet()
    errors = [worst(LiveNetwork(model, x, torch.bfloat16, exact=count), model, x) for count in (0, 13, 100)]
    assert errors[0] > 2 * errors[1] > 0 and errors[2] < 5e-5


@pytest.mark.parametrize(("name", "shape"), [("mobilenet", (3, 64, 64)), ("lenet", (1, 28, 28)), ("mlp", (9,))])
def test_mixed_formats_in_other_networks(name, shape):
    torch.manual_seed(0)
    options = {"inputs": 9} if name == "mlp" else {}
    model = adapted(networks.get(name)({"a": 3, "b": 2}, **options), 2, 0.02)
    x = torch.randn(2, *shape)
    assert worst(LiveNetwork(model, x), model, x) < 5e-5
    assert worst(LiveNetwork(model, x, torch.bfloat16, exact=2), model, x, [(0.3, 0.7)]) < 0.2


def test_fixed_statistics_are_folded_into_the_convolutions_too():
    torch.manual_seed(0)
    network = networks.get("mobilenet")({"a": 3, "b": 2}, dense=True, norm="fixed")
    for layer in norms_with_statistics(network):
        layer.running_mean.normal_(0, 0.1)
        layer.running_var.uniform_(0.5, 2)
    model, x = adapted(network, 2, 0.02), torch.randn(1, 3, 64, 64)
    live = LiveNetwork(model, x)
    assert worst(live, model, x) < 5e-5
    assert not norms_with_statistics(live.network)


def test_pointwise_convolutions_as_products():
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 7, 1)
    x = torch.randn(2, 5, 6, 4).contiguous(memory_format=torch.channels_last)
    expected = plain(x)
    plain.__class__ = Pointwise
    torch.testing.assert_close(plain(x), expected)


@pytest.mark.parametrize("inplace", [False, True])
def test_relu_by_bits(inplace):
    x = torch.tensor([-1.0, -0.0, 0.0, 1e-40, 3.0, float("inf"), float("-inf")], dtype=torch.bfloat16)
    for value in (x, x.float()):
        assert torch.equal(HalfReLU(inplace)(value.clone()), torch.relu(value))
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.bfloat16)  # all numbers, NaN of either sign too
    torch.testing.assert_close(HalfReLU(inplace)(every.clone()), torch.relu(every), rtol=0, atol=0, equal_nan=True)
    strided = torch.randn(4, 6).bfloat16()
    assert torch.equal(HalfReLU(inplace)(strided.clone()[:, ::2]), torch.relu(strided[:, ::2]))


@pytest.mark.parametrize("preference", [[1.0], [0.2, 0.8], [1.0, 0.0, 0.0], [-1.0, 2.0, 0.5], [0.0, 0.0], [-1.0, -2.0]])
def test_anchor_weights_in_plain_numbers(preference):
    expected = anchor_weights(torch.tensor(preference, dtype=torch.float64))
    torch.testing.assert_close(torch.tensor(anchor_weights_of(preference), dtype=torch.float64), expected)


def test_another_format_of_the_same_network_leaves_the_first_alone():
    model, x = segnet()
    live = LiveNetwork(model, x)
    before = {name: value.clone() for name, value in live(x, (0.3, 0.7)).items()}
    half = live.in_format(torch.bfloat16, exact=4)
    assert (half.dtype, half.exact, live.dtype, live.exact) == (torch.bfloat16, 4, torch.float32, 0)
    direct = LiveNetwork(model, x, torch.bfloat16, exact=4)
    for preference in PREFERENCES:
        other = half(x, preference)
        assert all(torch.equal(other[name], value) for name, value in direct(x, preference).items())
    after = live(x, (0.3, 0.7))
    assert all(torch.equal(after[name], before[name]) for name in before)
