"""ONNX files of networks with any inputs and outputs."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.batches import Caller, named
from palora_core.export import export_onnx, input_tensors
from palora_core.tasks import Classification, Regression


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.fc = nn.Embedding(9, 8), nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask, extra=None):
        mask = attention_mask[..., None].float()
        features = (self.embed(input_ids) * mask).sum(1) / mask.sum(1)
        return self.fc(features + 0 if extra is None else features + extra["shift"]), features


INPUTS = {
    "input_ids": torch.tensor([[1, 2, 3]]),
    "attention_mask": torch.tensor([[1, 1, 0]]),
    "extra": {"shift": torch.ones(1, 8).double()},
    "labels": torch.tensor([0]),
}


def test_tensors_are_named_after_their_places():
    given = input_tensors(INPUTS, Caller(Net()))
    assert list(given) == ["input_ids", "attention_mask", "extra.shift"] and given["extra.shift"].dtype == torch.float32
    x = torch.zeros(1)
    assert list(named(x, "input")) == ["input"] and list(named((x, [x, 3]), "input")) == ["input_0", "input_1_0"]
    assert list(named({"input": {"input": x, "input_0": x}}, "input")) == ["input.input", "input.input_0"]


@pytest.mark.parametrize("preference", [None, [0.2, 0.8]])
def test_several_inputs_with_integers_and_outputs_in_a_tuple(tmp_path, preference):
    torch.manual_seed(0)
    model = pc.palorize(Net(), 2)
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b)
    tasks = [Classification("sort", 3, output=0), Regression("size", output=lambda outputs: outputs[0][:, :1])]
    told = export_onnx(model.eval(), INPUTS, tmp_path / "net.onnx", preference, objectives=tasks)
    assert told["max_abs_difference_to_pytorch"] < 1e-5
    assert told["inputs"]["input_ids"] == {"shape": ["batch", 3], "dtype": "int64"}
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    at = torch.tensor([0.2, 0.8])
    feeds = {name: tensor.numpy() for name, tensor in input_tensors(INPUTS, Caller(Net())).items()}
    feeds |= {"preference": at.numpy()} if preference is None else {}
    found = dict(zip([one.name for one in session.get_outputs()], session.run(None, feeds)))
    inputs = {**INPUTS, "extra": {"shift": torch.ones(1, 8)}}
    with torch.no_grad():
        logits, features = Caller(model.network).at(model, inputs, at)
    wanted = {"output_0": logits, "output_1": features, "sort": logits, "size": logits[:, :1]}
    assert found.keys() == wanted.keys() == told["outputs"].keys()
    for name, tensor in wanted.items():
        np.testing.assert_allclose(found[name], tensor.numpy(), atol=1e-5)
    many = {name: np.repeat(array, 3, 0) if name != "preference" else array for name, array in feeds.items()}
    for name, array in zip(wanted, session.run(list(wanted), many)):  # any number of items
        np.testing.assert_allclose(array, np.repeat(wanted[name].numpy(), 3, 0), atol=1e-5)
