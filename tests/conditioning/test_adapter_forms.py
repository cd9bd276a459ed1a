"""DoRA against peft, and LORPMAN's penalty and late freeze."""

import copy

import pytest
import torch
from torch import nn

from palora_core.adapters import LowRankLayer
from palora_core.conditioning.dora import DoRA
from palora_core.conditioning.orthogonal import OrthogonalLowRank, adapter_cosine
from palora_core.errors import UserError


def small():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def with_moved_adapters(conditioning, tasks):
    torch.manual_seed(0)
    model = conditioning.condition(small(), tasks)
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b, std=0.3)
    return model


def peft_twin(model, plain, task, alpha):
    """peft's DoRA with the adapters of one task."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, lora_alpha=alpha, target_modules=["0", "3"], use_dora=True)
    twin = peft.get_peft_model(copy.deepcopy(plain), config)
    for theirs, ours in zip((twin.base_model.model[0], twin.base_model.model[3]), model.layers):
        a, b = theirs.lora_A["default"].weight, theirs.lora_B["default"].weight
        a.data.copy_(ours.adapter_a[task].reshape(a.shape))
        b.data.copy_(ours.adapter_b[task].reshape(b.shape))
        magnitude = theirs.lora_magnitude_vector["default"].weight
        magnitude.data.copy_(ours.magnitude[task].reshape(magnitude.shape))
    return twin


@pytest.mark.parametrize(("tasks", "task"), [(1, 0), (2, 0), (2, 1)])
def test_one_hot_dora_is_pefts(tasks, task):
    torch.manual_seed(0)
    plain = small()
    model = DoRA(rank=2, alpha=3.0, norm_gradient=False).condition(copy.deepcopy(plain), tasks)  # peft's form
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b, std=0.3)
        layer.magnitude.data *= 1 + 0.2 * torch.rand_like(layer.magnitude)
    twin, x = peft_twin(model, plain, task, 3.0), torch.randn(5, 2, 4, 4)
    ours, theirs = model(x, torch.eye(tasks)[task]), twin(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    first, last = twin.base_model.model[0], twin.base_model.model[3]
    for peft_layer, layer in zip((first, last), model.layers):
        for name, own in (("lora_A", layer.adapter_a), ("lora_B", layer.adapter_b)):
            wanted = getattr(peft_layer, name)["default"].weight.grad
            torch.testing.assert_close(own.grad[task].reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)
        wanted = peft_layer.lora_magnitude_vector["default"].weight.grad
        torch.testing.assert_close(layer.magnitude.grad[task].reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)


def test_with_the_norms_gradient_no_part_of_a_step_is_lost_on_the_length_of_w():
    """W(λ) does not depend on the length of W's rows where the adapters are zero, nor on a common factor otherwise."""
    torch.manual_seed(0)
    model, x = DoRA(rank=2, alpha=3.0).condition(small(), 2), torch.randn(5, 2, 4, 4)
    model(x, torch.tensor([0.3, 0.7])).square().sum().backward()
    for layer in model.layers:
        rows, gradient = layer.base_weight.detach().flatten(1), layer.base_weight.grad.flatten(1)
        assert gradient.norm() > 1e-3
        torch.testing.assert_close((rows * gradient).sum(1), torch.zeros(len(rows)), atol=1e-4, rtol=0)


def test_dora_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    model = DoRA(rank=1, alpha=2.0).condition(small().double(), 2).double()
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b, std=0.3)
    x, preference = torch.randn(3, 2, 4, 4, dtype=torch.float64), torch.tensor([0.3, 0.7], dtype=torch.float64)

    def loss():
        return model(x, preference).square().sum()

    loss().backward()
    for layer in model.layers:
        for parameter in (layer.base_weight, layer.adapter_a, layer.adapter_b, layer.magnitude):
            flat, slope = parameter.data.view(-1), parameter.grad.reshape(-1)[0].item()
            with torch.no_grad():
                flat[0] += 1e-6
                above = loss()
                flat[0] -= 2e-6
                below = loss()
                flat[0] += 1e-6
            assert (above - below).item() / 2e-6 == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_dora_starts_as_the_network_for_every_preference():
    network, x = small(), torch.randn(5, 2, 4, 4)
    wanted = network(x)
    model = DoRA(rank=2).condition(network, 3)
    for row in ([0.2, 0.3, 0.5], [0.0, 0.0, 0.0], [-1.0, 2.0, 0.5]):
        torch.testing.assert_close(model(x, torch.tensor(row)), wanted)


@pytest.mark.parametrize("form", ["flat", "kernel"])
def test_cosine_from_factors_is_that_of_the_products(form):
    model = with_moved_adapters(OrthogonalLowRank(rank=2, conv_form=form), 3)
    for layer in model.layers:
        first, second = layer.deltas()[0].flatten(), layer.deltas()[2].flatten()
        wanted = torch.cosine_similarity(first, second, dim=0).square()
        torch.testing.assert_close(adapter_cosine(layer, 0, 2), wanted)


def test_penalty_starts_at_zero_and_its_descent_makes_adapters_orthogonal():
    fresh = OrthogonalLowRank(rank=2).condition(small(), 3)
    fresh.regulariser().backward()  # B = 0: no direction yet, and no NaN
    assert all(torch.isfinite(layer.adapter_b.grad).all() for layer in fresh.layers)
    model = with_moved_adapters(OrthogonalLowRank(rank=2, sampled_layers=0, sampled_pairs=0), 3)
    optimizer = torch.optim.Adam([p for layer in model.layers for p in (layer.adapter_a, layer.adapter_b)], 0.02)
    start = model.regulariser().item()
    for _ in range(40):
        optimizer.zero_grad()
        model.regulariser().backward()
        optimizer.step()
    assert model.regulariser().item() < 0.05 * start


def test_sampled_penalty_has_the_mean_of_the_full_one():
    model = with_moved_adapters(OrthogonalLowRank(rank=2, sampled_layers=1, sampled_pairs=1), 3)
    full = with_moved_adapters(OrthogonalLowRank(rank=2, sampled_layers=0, sampled_pairs=0), 3)
    mean = sum(model.regulariser().item() for _ in range(1500)) / 1500
    assert mean == pytest.approx(full.regulariser().item(), rel=0.15)
    assert OrthogonalLowRank(coefficient=0.0).condition(small(), 3).regulariser() is None


def test_main_network_freezes_late_and_thaws_for_an_earlier_time():
    model = OrthogonalLowRank(rank=2, freeze_at=0.8).condition(small(), 2)

    def moving():
        return {name for name, p in model.named_parameters() if p.requires_grad}

    everything = moving()
    assert everything == {name for name, _ in model.named_parameters()}
    for tau, adapters_only in ((0.0, False), (0.79, False), (0.8, True), (1.0, True), (0.5, False)):
        model.progress(tau)
        wanted = {name for name in everything if "adapter_" in name} if adapters_only else everything
        assert moving() == wanted
    model.progress(0.9)
    with model.accumulate() as at:
        at(torch.tensor([0.5, 0.5])).forward(torch.randn(3, 2, 4, 4)).square().sum().backward()
    assert all(layer.base_weight.grad is None for layer in model.layers)
    assert all(layer.adapter_b.grad is not None for layer in model.layers if isinstance(layer, LowRankLayer))


def test_bad_options_are_named():
    with pytest.raises(UserError, match="freeze_at"):
        OrthogonalLowRank(freeze_at=1.5)
