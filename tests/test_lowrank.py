"""Low-rank models of whole networks: merge ≡ forward, threads, and exact gradients at the memory of one preference."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchvision
from torch import nn

from palora_core.balancing.linear import Linear
from palora_core.conditioning.lowrank import LowRank, palorize
from palora_core.networks.base import networks
from palora_core.objectives import objective
from palora_core.sources import whole_step
from palora_core.tasks import Classification
from palora_core.training.engine import Sequential

# On the simplex, at its corners, and outside of it.
PREFERENCES = [(0.3, 0.7), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.0, 0.0), (1.0, -1.0), (-1.0, 2.0), (1.5, 1.5)]
OUTPUTS = {"a": 4, "b": 3}


def randomised(model, std=0.02, seed=1):
    """Adapters that matter and BatchNorm statistics that are not the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.layers:
        layer.adapter_b.data.normal_(0, std, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def tensors(outputs):
    return list(outputs.values()) if isinstance(outputs, dict) else [outputs]


def check_merge(model, x, preferences=PREFERENCES):
    with torch.no_grad():
        for preference in preferences:
            expected = tensors(model(x, preference))
            found = tensors(model.merge(preference)(x))
            for a, b in zip(found, expected):
                assert (a - b).norm() <= 1e-6 * b.norm(), preference


def lenet(norms=False):
    torch.manual_seed(0)
    return networks.get("lenet")(OUTPUTS, norms)


NETWORKS = {
    "lenet": (lenet, (2, 1, 28, 28)),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=5), (1, 3, 64, 64)),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=5), (1, 3, 64, 64)),
    "narrow segnet": (lambda: networks.get("segnet")({"seg": 7, "depth": 1}, width=0.125), (1, 3, 32, 64)),
}
HEAVY = {
    "deeplabv3": (
        lambda: torchvision.models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=7),
        (1, 3, 65, 65),
    ),
    "vit_b_16": (lambda: torchvision.models.vit_b_16(num_classes=5), (1, 3, 224, 224)),
    "segnet": (lambda: networks.get("segnet")({"seg": 13, "depth": 1}), (1, 3, 64, 64)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("form", ["flat", "kernel"])
def test_merging_equals_forward(name, form):
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    network = make().eval()
    x = torch.randn(shape)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        plain = tensors(network(x))
        model = palorize(network, 2, 2, conv_form=form).eval()
        assert all(torch.equal(a, b) for a, b in zip(tensors(model(x, (0.3, 0.7))), plain))
    assert before.keys() == network.state_dict().keys() == model.merge((0.5, 0.5)).state_dict().keys()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    check_merge(randomised(model), x, PREFERENCES if form == "flat" else PREFERENCES[:3])


@pytest.mark.slow
@pytest.mark.parametrize("name", HEAVY)
def test_merging_equals_forward_in_heavy_networks(name):
    torch.manual_seed(0)
    make, shape = HEAVY[name]
    model = randomised(palorize(make().eval(), 2, 2), 0.005)
    check_merge(model, torch.randn(shape), PREFERENCES[:6])


def test_a_transformer_layer_reads_its_projections_through_the_adapters():
    torch.manual_seed(0)
    network = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    model = randomised(palorize(network, 2, 2), 0.2)
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        assert not torch.allclose(model(x, (1.0, 0.0)), model(x, (0.0, 1.0)))
    check_merge(model, x)


@pytest.mark.parametrize("norms", [False, True])
def test_eight_threads_at_once_each_get_their_own_preference(norms):
    model = randomised(palorize(lenet(norms), 2, 2), 0.3)
    x = torch.randn(2, 1, 28, 28)
    wanted = [(k / 40, 1 - k / 40) for k in range(41)] * 4
    with torch.no_grad():
        expected = {preference: model.merge(preference)(x)["a"] for preference in wanted}

    def ask(preference):
        with torch.no_grad():
            return preference, model(x, preference)["a"], model.merge(preference)(x)["a"]

    with ThreadPoolExecutor(8) as pool:
        for preference, forward, merged in pool.map(ask, wanted):
            torch.testing.assert_close(forward, expected[preference], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(merged, expected[preference], rtol=1e-5, atol=1e-5)


def test_a_merged_network_shares_no_memory():
    model = randomised(palorize(lenet(), 2, 2), 0.3)
    merged = model.merge((0.3, 0.7))
    own = {p.data_ptr() for p in model.parameters()}
    assert own.isdisjoint(p.data_ptr() for p in merged.parameters())
    assert all(p.requires_grad for p in merged.parameters())


def batch(shape, classes=OUTPUTS, size=6):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(size, *shape, generator=generator, dtype=torch.float64)
    return x, {name: torch.randint(count, (size,), generator=generator) for name, count in classes.items()}


CASES = {
    "lenet": (lenet, (1, 28, 28)),
    "lenet with BatchNorm": (lambda: lenet(True), (1, 28, 28)),
    "tiny segnet": (lambda: networks.get("segnet")(OUTPUTS, width=0.07), (3, 32, 32)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("many_tasks", [0, 3])
def test_accumulated_gradients_equal_plain_autograd(case, freeze, many_tasks, monkeypatch):
    """Σ_m λ_mᵀL(λ_m) on merged weights against one graph over all preferences, in float64, both ways of mixing."""
    monkeypatch.setattr("palora_core.conditioning.lowrank.MANY_TASKS", many_tasks)
    torch.manual_seed(0)
    make, shape = CASES[case]
    model = LowRank(2, adapters_only=freeze).condition(make().double(), 2)
    for layer in model.layers:
        layer.adapter_b.data.normal_(0, 0.1)
    reference = copy.deepcopy(model)
    tasks = (
        [pixelwise(name) for name in OUTPUTS]
        if "segnet" in case
        else [Classification(n, c) for n, c in OUTPUTS.items()]
    )
    x, targets = batch(shape)
    preferences = torch.tensor([[0.9, 0.1], [0.5, 0.5], [-0.3, 1.2]], dtype=torch.float64)

    rows = []
    for preference in preferences:
        outputs = reference.train()(x, preference)
        losses = torch.stack([task.loss(outputs, (x, targets)) for task in tasks])
        (preference @ losses).backward()
        rows.append(losses.detach())
    found, _ = Sequential(model.train(), tasks, Linear())(whole_step((x, targets), 2), preferences)

    torch.testing.assert_close(found, torch.stack(rows), rtol=1e-12, atol=1e-12)
    expected = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        wanted = expected[name].grad
        if wanted is None:
            assert parameter.grad is None, name
        else:
            assert (parameter.grad - wanted).norm() <= 1e-10 * max(1.0, wanted.norm()), name


def pixelwise(name):
    """Classifies an image by the mean of a dense prediction."""
    return objective(
        name, lambda outputs, batch: nn.functional.cross_entropy(outputs[name].mean((2, 3)), batch[1][name])
    )


def saved_bytes(num_preferences):
    """Bytes that autograd holds at the worst moment of a step."""
    torch.manual_seed(0)
    model = palorize(lenet(), 2, 1)
    x, targets = batch((1, 28, 28), size=16)
    held, peak = {}, [0]

    def pack(tensor):
        token = object()
        storage = tensor.untyped_storage()
        held[id(token)] = (storage.data_ptr(), storage.nbytes())
        peak[0] = max(peak[0], sum(dict(held.values()).values()))
        return token, tensor

    class Unpack:
        def __call__(self, pair):
            return pair[1]

    preferences = torch.rand(num_preferences, 2)
    tasks = [Classification(n, c) for n, c in OUTPUTS.items()]

    class Counting(Linear):
        def backward(self, step):
            result = super().backward(step)
            held.clear()  # the graph of this pass is freed
            return result

    with torch.autograd.graph.saved_tensors_hooks(pack, Unpack()):
        Sequential(model, tasks, Counting())(whole_step((x.float(), targets), 2), preferences)
    return peak[0]


def test_the_memory_of_saved_activations_does_not_grow_with_the_preferences_of_a_step():
    one = saved_bytes(1)
    assert one > 0
    assert saved_bytes(8) <= one + 1024  # the preferences themselves


def test_gradients_add_to_those_that_are_there():
    model = palorize(lenet(), 2, 1)
    tasks = [Classification(n, c) for n, c in OUTPUTS.items()]
    x, targets = batch((1, 28, 28))
    engine, step = Sequential(model, tasks, Linear()), (whole_step((x.float(), targets), 2), torch.tensor([[0.4, 0.6]]))
    engine(*step)
    once = [p.grad.clone() for p in model.parameters()]
    engine(*step)
    for parameter, gradient in zip(model.parameters(), once):
        torch.testing.assert_close(parameter.grad, 2 * gradient)


def test_adapters_learn_faster_by_the_number_of_tasks():
    base, adapters = palorize(lenet(), 3).parameter_groups(1e-3)
    assert adapters["lr"] == pytest.approx(3e-3)
    assert base["lr"] == 1e-3
    (only,) = LowRank(adapters_only=True).condition(lenet(), 2).parameter_groups(1e-3)
    assert len(only["params"]) == 2 * len(palorize(lenet(), 2).layers)


def test_the_basis_rebuilds_every_merged_weight():
    model = randomised(palorize(lenet(True), 2, 2), 0.3)
    preference = torch.tensor([0.3, -0.7])
    merged = model.merge(preference).state_dict()
    for name, (base, deltas) in model.basis().items():
        torch.testing.assert_close(base + torch.tensordot(preference, deltas, 1), merged[name])


def test_many_tasks_keep_no_weights_of_their_own():
    """Beside one merged weight and one gradient, a step holds what A and B hold: O(T·r), not O(T·|W|)."""
    from palora_core.conditioning._factors import FactoredWeight

    num_tasks = 12
    model = LowRank(1).condition(nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 8)), num_tasks)
    with model.accumulate() as at:
        one = at(torch.full((num_tasks,), 1 / num_tasks))
        one.forward(torch.rand(3, 64)).square().sum().backward()
        passes = at.__self__
        assert all(type(weight) is FactoredWeight for weight in passes.tensors)
        passes.collect()
        held = sum(total.numel() for weight in passes.tensors for total in weight.sums)
    own = sum(layer.base_weight.numel() for layer in model.layers) + model.num_adapter_parameters
    assert held == own
