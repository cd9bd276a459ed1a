"""A plugin as somebody else would write it: a kind of task of its own, and a benchmark that uses it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

import palora_core as pc
from palora_core.benchmarks.base import Benchmark, Recipe
from palora_core.data import ArraySplit
from palora_core.inputs import Table
from palora_core.objectives import Metric
from palora_core.tasks import Task


@pc.register("task", "bell")
@dataclass(frozen=True)
class Bell(Task):
    """A number with its spread: Gaussian likelihood of [B, 2], mean and logarithm of the variance."""

    @property
    def out_channels(self):
        return 2

    @property
    def summed_metrics(self):
        return (Metric("rmse", "root mean squared error", "", False),)

    def constant_answer(self, target):
        spread = target.var(correction=0).clamp(min=1e-6).log()
        return torch.stack([target.mean(), spread]).expand(len(target), 2)

    def effect(self, first, second):
        return (first[:, 0] - second[:, 0]).abs()

    def _terms(self, prediction, target):
        mean, spread = prediction.unbind(1)
        return (((mean - target) ** 2 / spread.exp() + spread) / 2).sum(), torch.tensor(len(target))

    def _measure(self, prediction, target):
        return {"squares": ((prediction[:, 0] - target) ** 2).sum()}

    def _summarise(self, sums, convention="exact"):
        return {"rmse": (sums["squares"] / sums["count"]).sqrt()}


@pc.register("benchmark", "bells")
@dataclass(frozen=True)
class Bells(Benchmark):
    """Two bells of three numbers."""

    title: ClassVar[str] = "Bells"
    recipe: ClassVar[Recipe] = Recipe(epochs=1, batch_size=16, lr=1e-3, evaluate_every=0)

    @property
    def input_kind(self):
        return Table(("a", "b", "c"))

    @property
    def tasks(self):
        return Bell("first"), Bell("second")

    @property
    def reference(self):
        return 10.0, 10.0

    @property
    def network(self):
        return "mlp", {"outputs": self.outputs, "inputs": 3, "hidden": (8,)}

    def load(self, data, progress=None):
        rows = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
        return dict.fromkeys(("train", "val", "test"), ArraySplit(rows, {"first": rows.sum(1), "second": rows[:, 0]}))
