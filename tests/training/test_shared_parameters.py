"""Networks whose parameters have several names train, are saved with all of them, and load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from palora_core.benchmarks.base import Benchmark, Recipe, benchmarks
from palora_core.checkpoint import load
from palora_core.data import ArraySplit
from palora_core.export import export_safetensors
from palora_core.networks.base import MultiTaskNetwork, networks
from palora_core.storage.runs import Run
from palora_core.tasks import Classification, Task
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer


class TiedEmbeddings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Embedding(9, 8), nn.Embedding(9, 8)
        self.second.weight = self.first.weight
        self.mix = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        words = x.long()
        return torch.relu(self.mix(torch.cat([self.first(words[:, 0]), self.second(words[:, 1])], 1)))


class OneNormTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 8)
        self.again = self.norm

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.second(self.norm(self.first(x))))


TRUNKS = {"embeddings": TiedEmbeddings, "norm": OneNormTwice}


def tied(outputs: dict[str, int], trunk: str) -> nn.Module:
    return MultiTaskNetwork(TRUNKS[trunk](), {name: nn.Linear(8, size) for name, size in outputs.items()})


@dataclass(frozen=True)
class Words(Benchmark):
    """Two words and whether each is a late one.

    Attributes:
        trunk: which of the networks.
    """

    title: ClassVar[str] = "Words"
    input_kind: ClassVar[str] = "table"
    recipe: ClassVar[Recipe] = Recipe(epochs=2, batch_size=8, lr=1e-2)
    trunk: str = "embeddings"

    @property
    def tasks(self) -> tuple[Task, ...]:
        return Classification("p", 2), Classification("q", 2)

    @property
    def reference(self) -> tuple[float, ...]:
        return 2.0, 2.0

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        return "tied", {"outputs": self.outputs, "trunk": self.trunk}

    def load(self, data: Path, progress: Any = None) -> dict[str, Any]:
        x = np.random.default_rng(0).integers(0, 9, (32, 2)).astype(np.float32)
        targets = {name: (x[:, place] > 4).astype(np.int64) for place, name in enumerate("pq")}
        return dict.fromkeys(("train", "val", "test"), ArraySplit(x, targets))


@pytest.fixture
def words(monkeypatch) -> None:
    networks(), benchmarks()  # found first
    monkeypatch.setitem(networks._entries, "tied", tied)
    monkeypatch.setitem(benchmarks._entries, "words", Words)


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("method", ["palora", "ls"])
def test_shared_parameters_are_saved_and_load(words, tmp_path, trunk, method):
    bench, chosen, options = configure("words", method, {"trunk": trunk})
    work = Trainer(Run(tmp_path / "run"), bench.problem(tmp_path), chosen, options, device="cpu")
    work.progress = lambda what, done, total: work.run.request_stop() if (what, done) == ("training", 5) else None
    work.start()
    assert work.run.status() == "stopped"
    again = resume_trainer(work.run, tmp_path, "cpu")
    again.resume()
    assert again.run.status() == "finished"
    model, _ = load(tmp_path / "run")
    assert load_file(tmp_path / "run" / "model.safetensors").keys() == model.state_dict().keys()
    inner = model.network.trunk
    assert inner.first.weight is inner.second.weight if trunk == "embeddings" else inner.norm is inner.again
    x, preference = torch.tensor([[1.0, 2.0], [7.0, 8.0]]), torch.tensor([0.4, 0.6])
    expected, found = again.model.eval()(x, preference), model(x, preference)
    assert all(torch.equal(expected[name], found[name]) for name in "pq")
    export_safetensors(model, [0.4, 0.6], tmp_path / "plain.safetensors")
    assert load_file(tmp_path / "plain.safetensors").keys() == model.merge(preference).state_dict().keys()
