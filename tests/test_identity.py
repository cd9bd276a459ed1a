"""A model remembers what it is: its state is not taken for another model's, in memory and in files."""

import copy

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core import checkpoint, identity
from palora_core.conditioning.base import conditionings
from palora_core.config import from_dict, to_dict
from palora_core.networks.base import networks
from palora_core.normalisation import AnchoredBatchNorm, calibrate
from tests.conditioning.test_conformance import NAMES, T, conditioning, difference, images, make, plain_network


def small(**options):
    torch.manual_seed(0)
    model = pc.palorize(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3)), **{"num_tasks": 2, **options}
    )
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b, std=0.1)
    return model


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"alpha": 10.0}, "alpha is 10.0"),
        ({"rank": 2}, "rank is 2"),
        ({"conv_form": "kernel"}, "form is 'kernel'"),
        ({"num_tasks": 3}, "tasks is 3"),
        ({"exclude": "0"}, "layers, 0"),
    ],
)
def test_the_state_of_another_model_is_refused(other, named):
    model, state = small(), small(**other).state_dict()
    before = copy.deepcopy(model.state_dict())
    for strict in (True, False):
        with pytest.raises(pc.UserError, match=named):
            model.load_state_dict(state, strict=strict)
    with pytest.raises(pc.UserError, match=named):
        checkpoint.load_weights(model, state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_conditionings_refuse_each_others_states(name):
    model = make(name)
    for other in NAMES:
        same = conditioning(other).condition(plain_network(), T).kind == model.kind
        if not same:
            with pytest.raises(pc.UserError, match="another model"):
                model.load_state_dict(make(other).state_dict())


def test_states_without_a_description_load_as_ever():
    model, fresh = small(), small()
    state = {name: tensor for name, tensor in model.state_dict().items() if name != identity.KEY}
    nn.init.zeros_(fresh.layers[0].adapter_b)
    fresh.load_state_dict(state, strict=True)
    checkpoint.load_weights(small(), state)
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in state.items())


def test_as_a_part_of_something_larger():
    whole, other = nn.ModuleDict({"part": small()}), nn.ModuleDict({"part": small(alpha=3.0)})
    whole.load_state_dict(copy.deepcopy(whole).state_dict(), strict=True)
    with pytest.raises(pc.UserError, match=r"alpha is 3\.0"):
        whole.load_state_dict(other.state_dict())


@pytest.mark.parametrize(
    "damaged",
    [torch.zeros(3, dtype=torch.uint8), torch.zeros(2, 2), torch.frombuffer(bytearray(b"[1]"), dtype=torch.uint8)],
)
def test_a_damaged_description_is_refused(damaged):
    with pytest.raises(pc.UserError, match="damaged"):
        small().set_extra_state(damaged)


def test_descriptions_of_later_versions_are_refused():
    text = torch.frombuffer(bytearray(b'{"format":2}'), dtype=torch.uint8)
    with pytest.raises(pc.UserError, match="format 2"):
        small().set_extra_state(text)


@pytest.mark.parametrize("name", NAMES)
def test_statistics_per_preference_load_into_a_fresh_model_and_back(name):
    model, x, preference = make(name).eval(), images(), torch.tensor([0.2, 0.3, 0.5])
    plain_state = copy.deepcopy(model.state_dict())
    uncalibrated = model(x, preference)
    calibrate(model, lambda: [images(16)])
    wanted = model(x, preference)
    torch.manual_seed(5)
    fresh = conditioning(name).condition(plain_network(), T).eval()
    fresh.load_state_dict(model.state_dict(), strict=True)
    assert difference(wanted, fresh(x, preference)) == 0
    fresh.load_state_dict(plain_state, strict=True)
    assert not any(isinstance(layer, AnchoredBatchNorm) for layer in fresh.modules())
    assert difference(uncalibrated, fresh(x, preference)) == 0


CARD = {
    "benchmark": {"name": "mine"},
    "method": {"name": "palora"},
    "network": {"name": "mlp", "options": {"outputs": {"a": 2, "b": 1}, "inputs": 8}},
    "tasks": [{"name": "a"}, {"name": "b"}],
}


def test_files_say_what_they_hold(tmp_path):
    model = pc.palorize(networks.get("mlp")({"a": 2, "b": 1}, 8), 2, rank=4, alpha=10.0)
    checkpoint.save(tmp_path / "ten", model, CARD)
    with pytest.raises(pc.UserError, match=r"alpha is 10\.0"):
        checkpoint.load(tmp_path / "ten")  # the card's method has α = 1
    checkpoint.save(tmp_path / "one", pc.palorize(networks.get("mlp")({"a": 2, "b": 1}, 8), 2, rank=4), CARD)
    checkpoint.load(tmp_path / "one")


class Shared(nn.Module):
    """Two embeddings that are one tensor, and one BatchNorm in two places."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Embedding(9, 8), nn.Embedding(9, 8), nn.BatchNorm1d(16)
        self.b.weight, self.again = self.a.weight, self.norm
        self.linear = nn.Linear(16, 16)

    def forward(self, x):
        y = torch.cat([self.a(x[:, 0]), self.b(x[:, 1])], 1)
        return self.again(self.linear(self.norm(y)))


@pytest.mark.parametrize("calibrated", [False, True])
def test_shared_parameters_are_saved(tmp_path, calibrated):
    model, x = pc.palorize(Shared(), 2, exclude=lambda name, layer: False), torch.randint(0, 9, (16, 2))
    if calibrated:
        calibrate(model, lambda: [x])
    checkpoint.save(tmp_path, model, CARD)
    state = checkpoint.read_weights(tmp_path / "model.safetensors")
    fresh = pc.palorize(Shared(), 2)
    checkpoint.load_weights(fresh, state)
    assert fresh.network.a.weight is fresh.network.b.weight and fresh.network.norm is fresh.network.again
    torch.testing.assert_close(fresh.eval()(x, [0.3, 0.7]), model.eval()(x, [0.3, 0.7]), rtol=0, atol=0)


def test_synchronised_batch_norm_is_calibrated_like_any_other():
    network = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    plain = pc.palorize(network, 2)
    nn.init.normal_(plain.layers[0].adapter_b)
    synchronised = pc.palorize(nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network)), 2)
    synchronised.load_state_dict(plain.state_dict())
    x = torch.randn(16, 8).double()
    assert calibrate(plain, lambda: [x]) == calibrate(synchronised, lambda: [x]) == 1
    for preference in ([1.0, 0.0], [0.5, 0.5], [0.2, 0.8]):
        wanted = plain.eval()(x, preference)
        torch.testing.assert_close(synchronised.eval()(x, preference), wanted)
        merged = synchronised.merge(preference)
        assert type(merged[1]) is nn.SyncBatchNorm
        torch.testing.assert_close(merged(x), wanted)


@pytest.mark.parametrize("name", ["lowrank", "dora", "orthogonal_lowrank"])
def test_options_from_before_grouped_layers_were_bounded(name):
    """A MobileNetV2 trained then has flat adapters in its depthwise layers, and still loads."""
    now = conditionings.get(name)()
    older = to_dict(now)
    del older["bounded"]
    older = from_dict(type(now), {**older, "conv_form": "flat"})
    assert now.bounded and not older.bounded
    depthwise = nn.Sequential(nn.Conv2d(1, 6, 1), nn.Conv2d(6, 6, 3, groups=6))
    model = older.condition(depthwise, 2)
    assert tuple(model.layers[1].adapter_a.shape) == (2, 4 * 3, 6 * 3)


@pytest.mark.parametrize("form", ["flat", "kernel"])
@pytest.mark.parametrize("rank", [1, 4, 8, 64])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(96, 96, 7, groups=96),
        nn.Conv2d(8, 16, 3, groups=8),
        nn.Conv1d(8, 8, 3, groups=8),
        nn.Conv2d(32, 32, 3, groups=4),
    ],
)
def test_grouped_layers_get_no_more_adapter_than_weight(layer, rank, form):
    model = pc.palorize(nn.Sequential(layer), 2, rank=rank, conv_form=form)
    assert model.num_adapter_parameters <= 2 * max(layer.weight.numel(), sum(layer.weight[:, 0].flatten(1).shape))
    nn.init.normal_(model.layers[0].adapter_b)
    x = torch.randn(2, layer.in_channels, *[9] * (layer.weight.dim() - 2))
    torch.testing.assert_close(model(x, [0.3, 0.7]), model.merge([0.3, 0.7])(x))
