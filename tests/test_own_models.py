"""Models of networks that nobody registered: saved with what they are, loaded onto an instance, adapters alone."""

import json

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.config import method_from
from palora_core.errors import UserError
from palora_core.normalisation import calibrate

LAMBDA = [0.3, 0.7]


class Net(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.depthwise, self.head = nn.Conv2d(8, 8, 3, groups=8), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.depthwise(self.stem(x)).mean((2, 3)))


def made(**options):
    model = pc.palorize(Net(), 2, **{"rank": 2, "alpha": 3.0, **options})
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b, generator=torch.Generator().manual_seed(2))
    return model.eval()


def answers(model):
    with torch.no_grad():
        return model(torch.linspace(-1, 1, 2 * 3 * 12 * 12).view(2, 3, 12, 12), LAMBDA)


OPTIONS = [{}, {"conv_form": "kernel"}, {"exclude": "head", "alpha": 0.5}, {"select": nn.Linear, "rank": 1}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_a_model_comes_back_as_it_was(tmp_path, options, calibrated, alone):
    model = made(**options)
    if calibrated:
        calibrate(model, lambda: [torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(3))])
    pc.save(tmp_path, model, adapters_only=alone)
    network = Net() if alone else Net(seed=5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    again, card = pc.load(tmp_path, network=network)
    assert torch.equal(answers(again), answers(model))
    assert card["tasks"] == [{"name": "objective 1", "kind": ""}, {"name": "objective 2", "kind": ""}]
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("conditioning", ["palora", "pamal", "cosmos", "phn", "padora", "lorpman"])
def test_every_conditioning_comes_back_by_its_card(tmp_path, conditioning):
    method = method_from(conditioning)
    model = method.conditioning.condition(Net(), 2).eval()
    from palora_core.config import to_dict

    pc.save(tmp_path, model, {"method": {"name": conditioning, **to_dict(method)}})
    again, _ = pc.load(tmp_path, network=Net(seed=5))
    assert torch.equal(answers(again), answers(model))


def test_adapters_alone_are_small_and_refuse_another_base(tmp_path):
    model = made()
    pc.save(tmp_path / "whole", model)
    pc.save(tmp_path / "alone", model, adapters_only=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "alone")]
    assert sizes[1] < sizes[0]
    with pytest.raises(UserError, match=r"another base: 'network\.stem\.0\.weight' is not as it was"):
        pc.load(tmp_path / "alone", network=Net(seed=1))
    with pytest.raises(UserError, match=r"adapters alone; load them by|not registered; load it by"):
        pc.load(tmp_path / "alone")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (None, r"network \('tests?\.?.*Net'\) is not registered; load it by pc\.load\(folder, network=…\)"),
        (nn.Linear(2, 2), "Linear has no layer 'depthwise'"),
        (nn.Sequential(), "Sequential has no layer"),
    ],
)
def test_another_network_is_refused(tmp_path, network, message):
    pc.save(tmp_path, made())
    with pytest.raises(UserError, match=message):
        pc.load(tmp_path, network=network)


def test_a_card_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(UserError, match="names 1 tasks and the model has 2"):
        pc.save(tmp_path, made(), {"tasks": ["one"]})
    pc.save(tmp_path, made(), {"tasks": ["speed", "care"], "title": "Mine"})
    assert [task["name"] for task in json.loads((tmp_path / "card.json").read_text())["tasks"]] == ["speed", "care"]


def test_a_model_without_adapters_has_none_to_save_alone(tmp_path):
    model = method_from("ls").conditioning.condition(Net(), 2)
    with pytest.raises(UserError, match="has no adapters that could be saved alone"):
        pc.save(tmp_path, model, adapters_only=True)
