"""A benchmark registered from outside of the package, with a single task: every method copes with both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from palora_core.benchmarks.base import Benchmark, Recipe, benchmarks
from palora_core.checkpoint import load
from palora_core.data import ArraySplit, Split
from palora_core.evaluation.front import Front
from palora_core.methods.base import methods
from palora_core.storage.runs import Run
from palora_core.tasks import Regression, Task
from palora_core.training.resuming import resume_trainer
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer


@dataclass(frozen=True)
class Line(Benchmark):
    """One regression on four inputs."""

    title: ClassVar[str] = "Line"
    input_kind: ClassVar[str] = "table"
    recipe: ClassVar[Recipe] = Recipe(epochs=1, batch_size=8, lr=1e-3, evaluate_every=0)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The height."""
        return (Regression("height"),)

    @property
    def reference(self) -> tuple[float, ...]:
        """Far above every loss."""
        return (10.0,)

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """A small perceptron."""
        return "mlp", {"outputs": self.outputs, "inputs": 4, "hidden": (6,)}

    def load(self, data: Path, progress: Any = None) -> dict[str, Split]:
        """Random rows."""
        rows = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
        split = ArraySplit(rows, {"height": rows.sum(1)})
        return dict.fromkeys(("train", "val", "test"), split)


@pytest.fixture
def line(monkeypatch) -> None:
    """The benchmark under the name ``line``, for one test."""
    benchmarks.names()
    monkeypatch.setattr(benchmarks, "_entries", dict(benchmarks._entries))
    benchmarks.register("line")(Line)


@pytest.mark.parametrize("name", methods)
def test_one_task_trains_resumes_and_is_a_front_of_one_objective(line, tmp_path, name):
    bench, method, options = configure("line", name, {"epochs": 2, "samples": 1})
    trainer = Trainer(Run(tmp_path / "run"), bench.problem(tmp_path), method, options, device="cpu")
    before = {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}
    trainer.progress = lambda what, done, total: trainer.run.request_stop() if done == 2 < total else None
    trainer.start()
    resume_trainer(trainer.run, tmp_path, "cpu").resume()
    assert Front.load(tmp_path / "run" / "front.json").objectives.shape == (1, 1)
    model, card = load(tmp_path / "run")
    assert [task["name"] for task in card["tasks"]] == ["height"]
    still = {key for key, tensor in model.named_parameters() if tensor.equal(before[key])}
    # RotoGrad turns features so that the tasks' gradients agree; a single one agrees with itself.
    assert still == {key for key in before if key.endswith(".rotation")}
