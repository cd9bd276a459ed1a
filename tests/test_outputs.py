"""LiveNetwork answers in whatever form the network answers, for whatever form of inputs it takes."""

import dataclasses
from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core import batches
from palora_core.machine import channels_last_

Pair = namedtuple("Pair", "seg depth")  # networks in the wild return these


@dataclasses.dataclass
class Answer:
    seg: torch.Tensor
    depth: torch.Tensor
    name: str = "mine"


def model_output(a, b):
    transformers = pytest.importorskip("transformers")
    return transformers.modeling_outputs.SemanticSegmenterOutput(logits=a, hidden_states=(b,))


FORMS = {
    "tensor": lambda a, b: a,
    "dict": lambda a, b: {"seg": a, "depth": b},
    "ordered dict": lambda a, b: OrderedDict(seg=a, depth=b),
    "tuple": lambda a, b: (a, [b]),
    "named tuple": Pair,
    "dataclass": Answer,
    "model output": model_output,
}


class Any(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form, self.conv = form, nn.Conv2d(3, 8, 3)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        y = self.norm(self.conv(x))
        return self.form(self.head(y), y.mean((2, 3)))


def filled(network):
    torch.manual_seed(0)
    model = pc.palorize(network, 2, select=lambda name, layer: True).eval()
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b)
    return model


@pytest.mark.parametrize("with_example", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_outputs_keep_their_form(form, with_example):
    model, x = filled(Any(FORMS[form])), torch.randn(2, 3, 8, 8)
    live = pc.LiveNetwork(model, x if with_example else None)
    for preference in ([0.3, 0.7], [1.0, 0.0]):
        with torch.no_grad():
            wanted = model(x, preference)
        found = live(x, preference)
        assert type(found) is (dict if form == "dict" else type(wanted))
        for a, b in zip(batches.tensors(found), batches.tensors(wanted), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert not isinstance(found, Answer) or found.name == "mine"


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.linear = nn.Embedding(50, 16), nn.Linear(16, 16)

    def forward(self, input_ids, attention_mask=None):
        y = self.linear(self.words(input_ids))
        return y.mean(1) if attention_mask is None else (y * attention_mask[..., None]).sum(1)


@pytest.mark.parametrize("with_example", [True, False])
def test_integers_and_dicts_go_in(with_example):
    model, ids = filled(Words()), torch.randint(0, 50, (4, 7))
    batch = {"input_ids": ids, "attention_mask": torch.rand(4, 7)}
    for inputs, call in ((ids, lambda: model(ids, [0.3, 0.7])), (batch, lambda: model(**batch, preference=[0.3, 0.7]))):
        live = pc.LiveNetwork(model, inputs if with_example else None)
        torch.testing.assert_close(live(inputs, [0.3, 0.7]), call())


@pytest.mark.parametrize("conv", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_networks_of_every_rank_are_laid_out_and_served(conv):
    dims = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}[conv]
    model, x = filled(nn.Sequential(conv(2, 4, 3), nn.ReLU(), conv(4, 3, 1))), torch.randn(2, 2, *[5] * dims)
    wanted = model(x, [0.2, 0.8])
    channels_last_(model)
    torch.testing.assert_close(model(x, [0.2, 0.8]), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pc.LiveNetwork(model, x)(x, [0.2, 0.8]), wanted, rtol=1e-4, atol=1e-5)
    if dims == 2:
        assert model.layers[0].base_weight.is_contiguous(memory_format=torch.channels_last)
