"""A benchmark and model folders made on the fly, so that no test of the app depends on shipped models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from palora_core import checkpoint
from palora_core.benchmarks.base import Benchmark, Recipe, benchmarks
from palora_core.conditioning.lowrank import LowRank
from palora_core.config import to_dict
from palora_core.data import ArraySplit
from palora_core.evaluation.evaluate import evaluate
from palora_core.inputs import RGB, Grey, Table
from palora_core.methods.palora import PaLoRA
from palora_core.networks.base import networks
from palora_core.storage.samples import save_samples
from palora_core.tasks import Classification, Depth, Normals, Regression, Segmentation

HEIGHT, WIDTH = 64, 96
CLASSES = ("floor", "wall", "chair", "table", "lamp")
FEATURES = 21  # of a row, as in SARCOS


@benchmarks.register("toy")
@dataclass(frozen=True)
class Toy(Benchmark):
    """Coloured rectangles; which tasks there are is an option: three dense ones, digits, many numbers of a picture or
    of a table's row, or many attributes that are there or not."""

    title: ClassVar[str] = "Toy"
    synthetic: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(1, 2, 1e-3)

    kind: str = "dense"
    count: int = 3

    @property
    def tasks(self):
        labels = Segmentation("segmentation", len(CLASSES), classes=CLASSES)
        dense = (labels, Depth("depth", unit="m"), Normals("normals"))
        if self.kind == "dense":
            return dense[: self.count]
        if self.kind == "digits":
            return tuple(Classification(name, 10) for name in ("left", "right"))
        if self.kind == "attributes":
            return tuple(Classification(f"attribute_{i + 1}", 2) for i in range(self.count))
        return tuple(Regression(f"number {i}") for i in range(self.count))

    @property
    def reference(self):
        # The hypervolume of 40 dimensions cannot be computed; a reference that nothing reaches makes it zero.
        return tuple(10.0 if len(self.tasks) <= 3 else -1.0 for _ in self.tasks)

    @property
    def network(self):
        if self.kind == "dense":
            return "segnet", {"outputs": self.outputs, "width": 0.06}
        if self.kind == "table":
            return "mlp", {"outputs": self.outputs, "inputs": FEATURES, "hidden": [32]}
        return "lenet", {"outputs": self.outputs}

    @property
    def input_kind(self):
        if self.kind == "table":
            return Table()
        return (
            RGB(self.shape)
            if self.kind == "dense"
            else Grey(self.shape, squeezed=True, dark=True, marks=((0.1, 0.1, 0.5, 0.5),))
        )

    @property
    def shape(self):
        return (HEIGHT, WIDTH) if self.kind == "dense" else (28, 28)

    def convert(self, x, targets):
        if self.kind == "table":
            return x.float(), targets
        x = x.float().div(255)
        return (x if self.kind == "dense" else x.mean(1, keepdim=True)), targets

    def load(self, data, progress=None):
        return {split: self.items(8, seed) for seed, split in enumerate(("train", "val", "test"))}

    def items(self, count: int = 4, seed: int = 0) -> ArraySplit:
        rng = np.random.default_rng(seed)
        height, width = self.shape
        x = np.zeros((count, 3, height, width), np.uint8)
        labels = np.zeros((count, height, width), np.int64)
        for item in range(count):
            x[item] = rng.integers(60, 120, (3, height, width))  # no two alike: nothing decides which one a pool takes
            for label in range(1, len(CLASSES)):
                top, left = rng.integers(0, height - 12), rng.integers(0, width - 14)
                box = np.s_[top : top + rng.integers(8, 24), left : left + rng.integers(10, 30)]
                x[item][:, box[0], box[1]] = x[item][:, box[0], box[1]] // 2 + rng.integers(0, 190, (3, 1, 1))
                labels[item][box] = label
        targets = {}
        for task in self.tasks:
            if task.kind == "segmentation":
                labels[:, :2] = -1
                targets[task.name] = labels
            elif task.kind == "depth":
                depth = np.linspace(1, 6, height, dtype=np.float32)[None, None, :, None] + labels[:, None] * 0.1
                depth[:, :, :2] = 0
                targets[task.name] = depth.astype(np.float32)
            elif task.kind == "normals":
                normals = rng.normal(size=(count, 3, height, width)).astype(np.float32)
                targets[task.name] = normals / np.linalg.norm(normals, axis=1, keepdims=True)
            elif task.kind == "classification":
                targets[task.name] = rng.integers(0, task.num_classes, count)
            else:
                targets[task.name] = rng.normal(size=count).astype(np.float32)
        if self.kind == "table":
            x = rng.normal(size=(count, FEATURES)).astype(np.float32)
        return ArraySplit(x, targets, self.convert)


def make_model(folder: Path, benchmark: Toy, title: str, points: int | None = None, samples: int = 4) -> Path:
    """A model folder with random, lively adapters."""
    torch.manual_seed(0)
    name, options = benchmark.network
    method = PaLoRA(conditioning=LowRank(rank=2))
    model = method.conditioning.condition(networks.get(name)(**options), len(benchmark.tasks))
    with torch.no_grad():
        for layer in model.layers:
            layer.adapter_a.normal_(0, 0.35)
            layer.adapter_b.normal_(0, 0.35)
        for parameter in model.network.heads.parameters():
            parameter.mul_(3)
    model.train()
    items = benchmark.items(samples)
    x, _ = items.batch(torch.arange(len(items)))
    with torch.no_grad():
        for _ in range(20):  # running statistics, so that predictions have contrast
            model(x, torch.full((len(benchmark.tasks),), 1 / len(benchmark.tasks)))
    model.eval()
    card = {
        "name": folder.name,
        "title": title,
        "benchmark": {"name": "toy", "options": {"kind": benchmark.kind, "count": benchmark.count}},
        "method": {"name": "palora", **to_dict(method)},
        "network": {"name": name, "options": options},
        "tasks": [{"name": task.name, "kind": task.kind} for task in benchmark.tasks],
    }
    checkpoint.save(folder, model, card)
    preferences = None
    if points:
        from palora_core.simplex import evaluation_preferences

        preferences = evaluation_preferences(len(benchmark.tasks), points)
    front = evaluate(model, items, benchmark.tasks, benchmark.reference, preferences, about={"split": "test"})
    front.save(folder / "front.json")
    save_samples(folder / "samples.npz", items, samples)
    return folder


def make_all(root: Path) -> Path:
    """One model of every kind the app has to show."""
    make_model(root / "three", Toy("dense", 3), "Toy rooms, three tasks")
    make_model(root / "two", Toy("dense", 2), "Toy streets, two tasks")
    make_model(root / "digits", Toy("digits"), "Toy digits")
    make_model(root / "one", Toy("dense", 1), "Toy, one task")
    make_model(root / "seven", Toy("table", 7), "Toy arm, seven tasks")
    make_model(root / "forty", Toy("attributes", 40), "Toy faces, forty tasks")
    damaged = make_model(root / "damaged", Toy("dense", 1), "Damaged", samples=2)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    bare = make_model(root / "bare", Toy("dense", 2), "Without samples and front", samples=2)
    (bare / "samples.npz").unlink()
    (bare / "front.json").unlink()
    (root / "empty").mkdir()
    return root
