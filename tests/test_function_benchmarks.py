"""A function that returns a problem is a benchmark: trained by its name, loaded in another process by its plugin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import palora_core as pc
from palora_core.benchmarks._functions import from_function
from palora_core.errors import UserError
from palora_core.storage.runs import Run
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer

PLUGIN = '''
import torch, palora_core as pc
from torch import nn
from palora_core.tasks import Classification


class Text(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embed, self.topic, self.tone = nn.Embedding(20, width), nn.Linear(width, 3), nn.Linear(width, 2)

    def forward(self, ids, mask):
        mean = (self.embed(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return {"topic": self.topic(mean), "tone": self.tone(mean)}


def rows(count, seed):
    ids = torch.randint(0, 20, (count, 6), generator=torch.Generator().manual_seed(seed))
    return {"ids": ids, "mask": torch.ones(count, 6), "topic": ids[:, 0] % 3, "tone": ids[:, 1] % 2}


@pc.register("benchmark", "texts")
def texts(width: int = 8, items: int = 64):
    """Topic and tone of short texts."""
    objectives = [Classification("topic", 3), Classification("tone", 2)]
    return pc.Problem(Text(width), objectives, train=lambda: rows(items, 0), val=lambda: rows(32, 1))
'''

STEER = """
import sys, torch, palora_core as pc
model, card = pc.load(sys.argv[1])
plain = model.merge([0.3, 0.7]).eval()
ids = torch.arange(6)[None]
print(card["benchmark"]["name"], card["data"], model(ids, mask=torch.ones(1, 6), preference=[0.3, 0.7])["topic"].shape)
assert torch.allclose(plain(ids, torch.ones(1, 6))["tone"], model(ids, torch.ones(1, 6), [0.3, 0.7])["tone"], atol=1e-6)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    (place / "own_texts.py").write_text(PLUGIN)
    return place


def python(folder: Path, *args: str) -> subprocess.CompletedProcess:
    paths = os.pathsep.join((str(folder), str(Path(__file__).parents[1])))
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, *args], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
    )


def test_it_trains_by_name_and_steers_in_another_process(folder):
    common = ("-m", "palora_core", "train", "--plugin", "own_texts", "--benchmark", "texts", "--method", "palora")
    done = python(folder, *common, "--out", "runs/a", "--set", "width=6", "--set", "epochs=2", "--set", "batch_size=16")
    assert done.returncode == 0, done.stderr
    front = pc.Front.load(folder / "runs/a/front.json")
    assert front.tasks == ("topic", "tone") and front.about["benchmark"] == "texts"
    assert set(front.effect()) == {"topic", "tone"}
    steered = python(folder, "-c", "import own_texts" + STEER, "runs/a")
    assert steered.returncode == 0, steered.stderr
    assert steered.stdout.split(" torch")[0] == "texts Topic and tone of short texts."
    without = python(folder, "-c", STEER, "runs/a")
    assert "UserError" in without.stderr and "not registered; load it by" in without.stderr
    evaluated = python(
        folder, "-m", "palora_core", "evaluate", "runs/a", "--plugin", "own_texts", "--out", "again.json"
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert (pc.Front.load(folder / "again.json").objectives == front.objectives).all()


def small(width: int = 4):
    from torch import nn

    x, y = torch.randn(16, 3), torch.randn(16)
    return pc.Problem(nn.Linear(3, width), {"a": lambda o, b: (o[:, 0] - b[1]).square().mean(), "b": _size}, (x, y))


def _size(outputs, batch):
    return outputs.square().mean()


def test_options_are_the_parameters_and_a_resume_finds_them(tmp_path):
    pc.register("benchmark", "small for a test")(small)
    bench, method, options = configure("small for a test", "palora", {"width": 2, "epochs": 2, "batch_size": 4})
    trainer = Trainer(Run(tmp_path / "run"), bench.problem(), method, options, device="cpu")
    trainer.start()
    assert trainer.model.network.out_features == 2
    again = resume_trainer(Run(tmp_path / "run"), tmp_path, "cpu")
    again.resume()
    assert again.model.network.out_features == 2
    with pytest.raises(UserError, match="option 'with' is unknown"):
        configure("small for a test", "palora", {"with": 2})


def test_what_cannot_be_a_benchmark_is_refused():
    def needs(width):
        return None

    with pytest.raises(UserError, match="its parameter 'width' has no default"):
        from_function(needs)
    with pytest.raises(UserError, match=r"gave a NoneType; expected a pc\.Problem"):
        _ = from_function(lambda: None)().tasks
