"""BatchNorm statistics per preference: estimated as a direct computation would, and out of training's way."""

import copy

import pytest
import torch
from torch import nn

from palora_core.active import ActivePreference
from palora_core.conditioning.lowrank import palorize
from palora_core.errors import UserError
from palora_core.normalisation import (
    AnchoredBatchNorm,
    anchor_batch_norms,
    anchor_preferences,
    anchor_weights,
    batch_norms,
    calibrate,
    calibrate_for,
    use_running,
)

TASKS = 3


def is_anchored(network):
    return any(isinstance(layer, AnchoredBatchNorm) for layer in network.modules())


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48, 5), nn.BatchNorm1d(5))


@pytest.fixture
def model():
    model = palorize(network(), TASKS, 2)
    for layer in model.layers:
        layer.adapter_b.data.normal_(0, 0.3)
    for norm in batch_norms(model.network):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return model.train()


@pytest.fixture
def batches():
    torch.manual_seed(1)
    return [torch.randn(8, 2, 8, 8) + k for k in range(3)]


def direct(model, batches, preference):
    """Mean over batches of each BatchNorm input's mean and unbiased variance, at one preference."""
    plain = copy.deepcopy(model)
    plain.eval()
    seen = {}
    for name, layer in plain.network.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train()
            layer.register_forward_pre_hook(lambda _, inputs, name=name: seen.setdefault(name, []).append(inputs[0]))
    with torch.no_grad():
        for x in batches:
            plain(x, preference)
    statistics = {}
    for name, inputs in seen.items():
        rows = [x.transpose(0, 1).flatten(1) for x in inputs]
        mean = torch.stack([row.mean(1) for row in rows]).mean(0)
        statistics[name] = mean, torch.stack([row.var(1) for row in rows]).mean(0)
    return statistics


def test_statistics_at_the_anchors_equal_a_direct_computation(model, batches):
    expected = [direct(model, batches, anchor) for anchor in anchor_preferences(TASKS)]
    assert calibrate(model, lambda: batches) == 3
    for name, layer in model.network.named_modules():
        if isinstance(layer, AnchoredBatchNorm):
            for row, statistics in enumerate(expected):
                torch.testing.assert_close(layer.anchor_mean[row], statistics[name][0])
                torch.testing.assert_close(layer.anchor_var[row], statistics[name][1])


def test_running_statistics_modes_and_momentum_are_untouched(model, batches):
    model.network[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    calibrate(model, lambda: batches)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert set(after) - set(before) == {f"network.{i}.anchor_{s}" for i in (1, 5, 8) for s in ("mean", "var")}
    assert [module.training for module in model.modules()] == modes
    assert all(layer.momentum == 0.1 for layer in batch_norms(model.network))


def test_an_error_in_the_data_leaves_everything_as_it_was(model, batches):
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def broken():
        yield batches[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        calibrate(model, broken)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert model.training


def trained(model, batches, steps=4, calibrated=False):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    torch.manual_seed(5)
    for k in range(steps):
        if calibrated:
            state = torch.get_rng_state()
            calibrate(model, lambda: batches)
            torch.set_rng_state(state)
        optimizer.zero_grad()
        model(batches[k % 3], torch.full((TASKS,), 1 / TASKS)).square().mean().backward()
        optimizer.step()
    return {name: value for name, value in model.state_dict().items() if "anchor" not in name}


def test_no_batch_is_one_sentence_and_changes_nothing(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match="no batch"):
        calibrate(model, list)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_training_afterwards_is_unchanged(model, batches):
    again = copy.deepcopy(model)
    plain, calibrated = trained(model, batches), trained(again, batches, calibrated=True)
    assert all(torch.equal(plain[name], calibrated[name]) for name in plain)


def test_evaluation_uses_the_statistics_of_the_preference_and_training_those_of_the_batch(model, batches):
    calibrate(model, lambda: batches)
    layer = model.network[1]
    model.eval()
    x = torch.randn(4, 4, 6, 6)
    for row, anchor in enumerate(anchor_preferences(TASKS)):
        with torch.no_grad(), model.active.use(anchor):
            found = layer(x)
        expected = nn.functional.batch_norm(x, layer.anchor_mean[row], layer.anchor_var[row], layer.weight, layer.bias)
        torch.testing.assert_close(found, expected)
    assert torch.equal(layer.running_mean, layer._buffers["running_mean"])  # no preference: the running ones
    model.train()
    with model.active.use(torch.tensor([1.0, 0.0, 0.0])):
        assert layer.running_mean is layer._buffers["running_mean"]


@pytest.mark.parametrize("tasks", [1, 2, 3, 7, 40])
def test_anchor_weights_are_exact_at_the_anchors_and_sum_to_one(tasks):
    for row, anchor in enumerate(anchor_preferences(tasks)):
        if tasks > 1 or row == 0:
            weights = anchor_weights(anchor.double())
            assert weights.sum() == pytest.approx(1)
            assert weights @ anchor_preferences(tasks).double() == pytest.approx(anchor.numpy(), abs=1e-7)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        preference = torch.distributions.Dirichlet(torch.ones(tasks)).sample() if tasks > 1 else torch.ones(1)
        preference = preference + torch.randn(tasks, generator=generator) * 0.0
        weights = anchor_weights(preference)
        assert weights.min() >= 0
        assert weights.sum().item() == pytest.approx(1, abs=1e-5)
        mixed = weights @ anchor_preferences(tasks)  # the interpolation reproduces the preference itself
        torch.testing.assert_close(mixed, preference, rtol=1e-5, atol=1e-6)


def test_corners_and_centre_take_one_anchor_only():
    for row, anchor in enumerate(anchor_preferences(TASKS).double()):
        weights = anchor_weights(anchor)
        assert weights[row] == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        ([-1.0, 2.0, 0.0], [0.0, 1.0, 0.0]),
        ([2.0, 2.0, 0.0], [0.5, 0.5, 0.0]),
        ([0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]),
        ([-1.0, -1.0, -2.0], [1 / 3, 1 / 3, 1 / 3]),
        ([3.0, -1.0, 1.0], [0.75, 0.0, 0.25]),
    ],
)
def test_pseudo_preferences_take_the_statistics_of_a_mixture(outside, inside):
    torch.testing.assert_close(anchor_weights(torch.tensor(outside)), anchor_weights(torch.tensor(inside)))


def test_anchor_weights_are_continuous_on_the_simplex():
    path = torch.linspace(0, 1, 2001, dtype=torch.float64)
    rows = [anchor_weights(torch.stack([t * 0.7, t * 0.3, 1 - t])) for t in path]
    steps = torch.stack(rows).diff(dim=0).abs().max()
    assert steps <= 3.1 / 2000


def test_networks_without_batch_norm_are_left_alone():
    model = palorize(nn.Linear(2, 2), 2)
    assert calibrate(model, lambda: pytest.fail("no data is needed")) == 0
    assert not is_anchored(model)


def test_layers_without_statistics_are_left_alone():
    layer = nn.BatchNorm1d(3, track_running_stats=False)
    assert anchor_batch_norms(nn.Sequential(layer), 2, ActivePreference()) == []
    assert type(layer) is nn.BatchNorm1d


def test_merging_gives_plain_layers_with_the_statistics_of_the_preference(model, batches):
    calibrate(model, lambda: batches)
    model.eval()
    x = torch.randn(3, 2, 8, 8)
    for preference in ([1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [2.0, -1.0, 0.0]):
        merged = model.merge(preference)
        assert not is_anchored(merged)
        assert merged.state_dict().keys() == network().state_dict().keys()
        torch.testing.assert_close(merged(x), model(x, torch.tensor(preference)), rtol=1e-5, atol=1e-5)


def test_copies_of_an_anchored_model_work(model, batches):
    calibrate(model, lambda: batches)
    again = copy.deepcopy(model.eval())
    x, preference = torch.randn(3, 2, 8, 8), [0.2, 0.3, 0.5]
    assert torch.equal(again(x, preference), model(x, preference))
    again.network[1].anchor_mean.add_(1)
    assert not torch.equal(again(x, preference), model(x, preference))


def test_a_model_asked_for_another_number_of_tasks_is_refused(model):
    with pytest.raises(UserError):
        model(torch.zeros(1, 2, 8, 8), [0.5, 0.5])


def test_own_statistics_are_those_of_one_preference(model, batches):
    preference = torch.tensor([0.2, 0.5, 0.3])
    expected = direct(model, batches, preference)
    assert calibrate_for(model, preference, lambda: batches) == 3
    for name, layer in model.network.named_modules():
        if isinstance(layer, AnchoredBatchNorm):
            for mean, variance in zip(layer.anchor_mean, layer.anchor_var):
                torch.testing.assert_close(mean, expected[name][0])
                torch.testing.assert_close(variance, expected[name][1])


def test_running_statistics_come_back(model, batches):
    before = [layer.running_mean.clone() for layer in batch_norms(model.network)]
    calibrate(model, lambda: batches)
    use_running(model)
    assert not is_anchored(model.network)
    for layer, mean in zip(batch_norms(model.network), before):
        assert torch.equal(layer.running_mean, mean)
