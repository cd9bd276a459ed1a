"""Layers computed another way while a network trains: same values and gradients, and the written network afterwards."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional as F

from palora_core.conditioning.base import ParetoModel
from palora_core.conditioning.lowrank import palorize
from palora_core.fast_layers import max_unpool2d, restore_layers_, use_fast_layers_
from palora_core.fast_layers.fused import FusedSequential
from palora_core.fast_layers.relu import FastReLU
from palora_core.networks.segnet import segnet

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def head(bias=True, outer_bias=True, **options):
    torch.manual_seed(0)
    options = {"kernel_size": 3, "padding": 1, **options}
    return nn.Sequential(nn.Conv2d(6, 8, bias=bias, **options), nn.Conv2d(8, 3, 1, bias=outer_bias)).double().train()


def features(*shape, layout=torch.contiguous_format, dtype=torch.float64):
    torch.manual_seed(1)
    return torch.randn(shape).to(dtype).to(memory_format=layout)


def gradients(network, x, weight):
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = network(x)
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), [x, *network.parameters()])]


def saved_shapes(network, x):
    """Shapes of what a forward pass keeps for its gradient."""
    shapes = set()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.add(tuple(t.shape)) or t, lambda t: t):
        network(x)
    return shapes


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"dilation": 2, "padding": 0}, {"kernel_size": 1, "padding": 0}, {"padding": "same"}]
)
def test_two_convolutions_as_one(layout, biases, options):
    written = head(*biases, **options).to(memory_format=layout)
    quick = copy.deepcopy(written)
    use_fast_layers_(quick)
    assert isinstance(quick, FusedSequential)
    x = features(2, 6, 9, 7, layout=layout)
    weight = torch.randn_like(written(x))
    for found, expected in zip(gradients(quick, x, weight), gradients(written, x, weight), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_only_training_composes():
    quick = head()
    x = features(1, 6, 5, 5)
    expected = quick.eval()(x)
    use_fast_layers_(quick)
    assert torch.equal(quick(x), expected)


LEFT_ALONE = {
    "something between": lambda: nn.Sequential(nn.Conv2d(6, 8, 3), nn.Tanh(), nn.Conv2d(8, 3, 1)),
    "wider": lambda: nn.Sequential(nn.Conv2d(6, 8, 3), nn.Conv2d(8, 9, 1)),
    "not 1×1": lambda: nn.Sequential(nn.Conv2d(6, 8, 3), nn.Conv2d(8, 3, 3)),
    "padded 1×1": lambda: nn.Sequential(nn.Conv2d(6, 8, 3), nn.Conv2d(8, 3, 1, padding=1)),
    "strided 1×1": lambda: nn.Sequential(nn.Conv2d(6, 8, 3), nn.Conv2d(8, 3, 1, stride=2)),
    "groups": lambda: nn.Sequential(nn.Conv2d(6, 8, 3, groups=2), nn.Conv2d(8, 3, 1)),
    "mirrored border": lambda: nn.Sequential(nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect"), nn.Conv2d(8, 3, 1)),
    "single": lambda: nn.Sequential(nn.Conv2d(6, 3, 1)),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_cannot_be_composed_is_left_alone(name):
    network = LEFT_ALONE[name]()
    use_fast_layers_(network)
    assert type(network) is nn.Sequential


def test_a_layer_with_its_own_forward_is_not_composed():
    class Doubled(nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    network = nn.Sequential(Doubled(6, 8, 3), nn.Conv2d(8, 3, 1))
    use_fast_layers_(network)
    assert type(network) is nn.Sequential


def test_a_layer_whose_forward_was_replaced_is_not_composed():
    network = head()
    old = network[0].forward
    network[0].forward = lambda x: 2 * old(x)
    expected = network(features(1, 6, 5, 5))
    use_fast_layers_(network)
    assert torch.equal(network(features(1, 6, 5, 5)), expected)


def test_a_module_that_comes_twice_runs_twice():
    act = nn.Tanh()
    network = nn.Sequential(nn.Conv2d(6, 8, 3), nn.Conv2d(8, 3, 1), act, nn.Conv2d(3, 3, 1), act).double()
    x = features(2, 6, 9, 9)
    expected = network(x)
    use_fast_layers_(network)
    assert isinstance(network, FusedSequential)
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


def test_few_pixels_are_not_worth_a_composed_weight():
    network = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 31, 1))
    use_fast_layers_(network)
    for side, composes in ((4, False), (128, True)):
        assert ((31, 32, 3, 3) in saved_shapes(network, torch.zeros(1, 32, side, side))) == composes


def test_three_in_a_row_compose_the_first_two():
    network = nn.Sequential(nn.Conv2d(6, 8, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 2, 3)).double()
    quick = copy.deepcopy(network)
    use_fast_layers_(quick)
    x = features(2, 6, 9, 9)
    torch.testing.assert_close(quick(x), network(x), rtol=1e-12, atol=1e-12)


def test_whoever_hangs_a_hook_on_a_layer_sees_it_run():
    network = head()
    use_fast_layers_(network)
    seen = []
    handle = network[0].register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    network(features(1, 6, 5, 5))
    assert seen == [8]
    handle.remove()
    network(features(1, 6, 5, 5))
    assert seen == [8]
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, output: seen.append(type(module)))
    try:
        network(features(1, 6, 5, 5))
    finally:
        handle.remove()
    assert seen[1:3] == [nn.Conv2d, nn.Conv2d]


def test_a_composed_head_saves_no_features_between_its_layers():
    network = head(False, False).train()
    assert (2, 8, 30, 30) in saved_shapes(network, features(2, 6, 30, 30))
    use_fast_layers_(network)
    assert (2, 8, 30, 30) not in saved_shapes(network, features(2, 6, 30, 30))


# -- ReLU in bfloat16 --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_relu_by_its_bits(inplace, layout):
    x = features(3, 5, 6, 7, layout=layout, dtype=torch.bfloat16)
    nan, inf = float("nan"), float("inf")
    x[0, 0, 0] = torch.tensor([0.0, -0.0, inf, -inf, nan, -nan, 1.0])
    weight = torch.randn_like(x)
    quick = nn.ReLU(inplace)
    use_fast_layers_(quick)
    assert isinstance(quick, FastReLU)
    results = []
    for relu in (quick, nn.ReLU(inplace)):
        start = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = relu(start * 1)  # in place is not for leaves
        (gradient,) = torch.autograd.grad((y * weight).sum(), start)
        results.append((y.detach(), gradient[~y.isnan()]))  # of a NaN it means nothing
    for found, expected in zip(*results):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_relu_can_be_differentiated_twice():
    quick = nn.ReLU()
    use_fast_layers_(quick)
    x = torch.tensor([-1.0, 2.0, 3.0], dtype=torch.bfloat16, requires_grad=True)
    (first,) = torch.autograd.grad(quick(x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second.tolist() == [0.0, 2.0, 2.0]


def test_relu_in_other_formats_is_torchs():
    quick = nn.ReLU(inplace=True)
    use_fast_layers_(quick)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.int32):
        x = torch.tensor([-2, 0, 3]).to(dtype)
        assert quick(x) is x and x.tolist() == [0, 0, 3]


def test_relu_inside_vmap():
    quick = nn.ReLU(inplace=True)
    use_fast_layers_(quick)
    x = features(4, 3, dtype=torch.bfloat16)
    assert torch.equal(vmap(lambda row: quick(row * 1))(x), torch.relu(x))


# -- unpooling ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 4, 8, 6), (1, 3, 6, 4), (2, 1, 4, 4), (2, 4, 7, 5), (3, 2, 2, 2)])
def test_unpooling_and_its_gradient(layout, shape):
    pooled, index = F.max_pool2d(features(*shape, layout=layout), 2, return_indices=True)
    weight = features(*shape, layout=layout)
    size = shape[2:]
    results = []
    for unpool in (max_unpool2d, lambda x, index, size: F.max_unpool2d(x, index, 2, output_size=size)):
        x = pooled.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        y = unpool(x, index, size)
        results.append((y.detach(), *torch.autograd.grad((y * weight).sum(), x)))
    for found, expected in zip(*results):
        assert torch.equal(found, expected)


def test_unpooling_can_be_differentiated_twice():
    pooled, index = F.max_pool2d(features(1, 2, 4, 4, layout=torch.channels_last), 2, return_indices=True)
    assert torch.autograd.gradgradcheck(lambda x: max_unpool2d(x, index, (4, 4)).square(), pooled.requires_grad_())


def test_the_gradient_may_lie_in_another_layout_than_the_places():
    pooled, index = F.max_pool2d(features(2, 4, 8, 6, layout=torch.channels_last), 2, return_indices=True)
    gradient = features(2, 4, 8, 6)
    x = pooled.detach().requires_grad_()
    (found,) = torch.autograd.grad(max_unpool2d(x, index, (8, 6)), x, gradient)
    (expected,) = torch.autograd.grad(F.max_unpool2d(x, index, 2, output_size=[8, 6]), x, gradient)
    assert torch.equal(found, expected)


# -- whole networks ----------------------------------------------------------------------------------------------------
def test_the_network_is_the_written_one_again():
    network = segnet({"s": 7, "d": 1}, 0.125)
    classes = [type(module) for module in network.modules()]
    model = ParetoModel(network, 2)
    quick = [type(module) for module in network.modules()]
    assert quick != classes and quick.count(type(network.heads["s"])) == 2
    copies = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert [type(module) for module in copies.network.modules()] == quick
    assert [type(module) for module in model.merge((0.5, 0.5)).modules()] == classes
    assert [type(module) for module in palorize(segnet({"s": 7, "d": 1}, 0.125), 2).merge((1, 0)).modules()] == classes
    restore_layers_(network)
    assert [type(module) for module in network.modules()] == classes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_step_of_segnet_has_the_written_networks_gradients(layout):
    torch.manual_seed(0)
    written = segnet({"s": 7, "d": 1}, 0.125).double().to(memory_format=layout)
    model = ParetoModel(copy.deepcopy(written), 2)
    x = features(2, 3, 32, 64, layout=layout)
    losses = []
    for network in (written, model.network):
        outputs = network.train()(x)
        losses.append(sum(output.square().mean() for output in outputs.values()))
        losses[-1].backward()
    assert abs(losses[0].item() / losses[1].item() - 1) < 1e-12
    for (name, expected), found in zip(written.named_parameters(), model.network.parameters(), strict=True):
        bound = 1e-10 * expected.grad.abs().max().clamp_min(1e-3)
        assert (found.grad - expected.grad).abs().max() <= bound, name
