"""Runs of one's own problem in the dashboard: tuple outputs, keyword inputs, an objective that predicts nothing."""

import numpy as np
import pytest
import torch
from torch import nn

import palora_core as pc
from app.library import models
from app.pictures.uploads import UploadStore
from app.serving.inference import Inference
from app.serving.protocol import Request, unpack
from palora_core.storage.runs import Run
from palora_core.tasks import Classification
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.topic, self.tone = nn.Embedding(9, 8), nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, ids, mask):
        mean = (self.embed(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.topic(mean), self.tone(mean)


def rows(seed):
    ids = torch.randint(0, 9, (24, 5), generator=torch.Generator().manual_seed(seed))
    return {"ids": ids, "mask": torch.ones(24, 5)}, (ids[:, 0] % 3, ids[:, 1] % 2)


def masked_texts():
    tasks = [Classification("topic", 3, output=0, target=0), Classification("tone", 2, output=1, target=1)]
    size = pc.objective("size", lambda outputs, batch: outputs[0].square().mean())
    return pc.Problem(Masked(), [*tasks, size], train=lambda: rows(0), val=lambda: rows(1))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    pc.register("benchmark", "masked texts")(masked_texts)
    place = tmp_path_factory.mktemp("own")
    bench, method, options = configure("masked texts", "palora", {"epochs": 2, "batch_size": 8, "samples": 3})
    Trainer(Run(place / "runs" / "mine"), bench, method, options, device="cpu").start()
    return place


def test_it_loads_and_every_lambda_is_answered_as_the_model_does(own):
    registry = models.ModelRegistry(own / "models", own / "runs")
    loaded = registry.get("run:mine")
    assert not loaded.problems and len(loaded.samples) == 3
    assert loaded.front.about["split"] == "val", "validation items that stand in for test items are no test split"
    inference = Inference(registry, UploadStore())
    inputs, _ = loaded.samples.batch(torch.tensor([1]))
    for preference in ((1.0, 0.0, 0.0), (0.2, 0.3, 0.5)):
        ask = Request("predict", 1, "run:mine", ("sample-1",), preference, exact=True)
        header, _ = unpack(inference.submit("s", ask).result(60))
        assert {name for name, told in header["values"].items() if told != {"rows": []}} == {"topic", "tone"}
        with torch.no_grad():
            topic, _ = loaded.model(**inputs, preference=torch.tensor(preference))
        assert np.allclose(header["values"]["topic"]["probabilities"], topic.softmax(1)[0].numpy(), atol=2e-3)
