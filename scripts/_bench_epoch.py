"""One epoch of MultiMNIST, end to end: fetching, training on M = 5 preferences, validation of 11.

The yardstick is the way in which the paper's released code computes, written down here anew: adapters inside autograd
(convolutions merge their weights in every forward pass, linear layers add a low-rank branch per task), the losses of
all preferences added up and differentiated at once, Adam with a group per parameter, items fetched one by one, and one
pass over the validation data per preference. Sizes are a tenth of the paper's; both sides shrink alike.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from _measure import Figure, interleaved
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from palora_core.adapters import factor_shapes
from palora_core.benchmarks.multimnist import MultiMNIST
from palora_core.conditioning.lowrank import LowRank
from palora_core.data import Split
from palora_core.machine import has_fast_bf16
from palora_core.methods.palora import PaLoRA
from palora_core.networks.base import networks
from palora_core.samplers import annealed_preferences
from palora_core.simplex import evaluation_preferences
from palora_core.storage.runs import Run
from palora_core.training.options import TrainingOptions
from palora_core.training.trainer import Trainer

TRAIN, VALIDATION, BATCH, M, RANK = 5_120, 1_024, 256, 5, 1
FORMATS = ("fp32", "bf16") if has_fast_bf16(torch.device("cpu")) else ("fp32",)


class Items(Dataset):
    """A split, one item at a time."""

    def __init__(self, split: Split) -> None:
        self.inputs, self.targets = split.batch(torch.arange(len(split)))

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, list[Tensor]]:
        return self.inputs[index], [target[index] for target in self.targets.values()]


class InGraph(nn.Module):
    """A layer with T pairs of low-rank factors that autograd goes through in every forward pass."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, tasks: int) -> None:
        super().__init__()
        self.layer = layer
        shape_a, shape_b = factor_shapes(layer.weight.shape, 1, RANK, "flat")
        self.down = nn.ParameterList(torch.randn(shape_a) / shape_a[1] ** 0.5 for _ in range(tasks))
        self.up = nn.ParameterList(torch.zeros(shape_b) for _ in range(tasks))
        self.preference: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The layer at the preference set from outside."""
        assert self.preference is not None
        triples = list(zip(self.preference, self.down, self.up))
        if isinstance(self.layer, nn.Linear):
            return self.layer(x) + sum(weight * (x @ a.t() @ b.t()) for weight, a, b in triples) / RANK
        merged = self.layer.weight + sum(weight * (b @ a) for weight, a, b in triples).view_as(self.layer.weight) / RANK
        return F.conv2d(x, merged, self.layer.bias)


class ResearchWay:
    """Training and validation as described at the top of this file."""

    def __init__(self, network: nn.Module, splits: dict[str, Split]) -> None:
        self.network = copy.deepcopy(network)
        self.layers = _in_graph(self.network)
        self.train = DataLoader(Items(splits["train"]), BATCH, shuffle=True)
        self.validation = DataLoader(Items(splits["val"]), BATCH)
        self.optimizer = torch.optim.Adam([{"params": [p]} for p in self.network.parameters()], lr=1e-3)

    def losses(self, x: Tensor, labels: list[Tensor], preference: Tensor) -> list[Tensor]:
        """The two cross-entropies at one preference."""
        for layer in self.layers:
            layer.preference = preference
        return [F.cross_entropy(output, label) for output, label in zip(self.network(x).values(), labels)]

    def epoch(self) -> None:
        """Train once over the data, then evaluate 11 preferences."""
        for number, (x, labels) in enumerate(self.train):
            grid = annealed_preferences(2, M, number / len(self.train), 0.2)
            self.optimizer.zero_grad()
            sum(sum(w * loss for w, loss in zip(row, self.losses(x, labels, row))) for row in grid).backward()
            self.optimizer.step()
        with torch.no_grad():
            for row in evaluation_preferences(2):
                for x, labels in self.validation:
                    self.losses(x, labels, row)


def _in_graph(network: nn.Module) -> list[InGraph]:
    """Put an :class:`InGraph` around every layer of ``network`` that has weights."""
    found = []
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d | nn.Linear):
                found.append(InGraph(child, 2))
                setattr(parent, name, found[-1])
    return found


def epoch(repetitions: int, budget: float) -> list[Figure]:
    """CPU time of our epoch over that of the research code's way."""
    benchmark = MultiMNIST(train_images=TRAIN, test_images=VALIDATION)
    with tempfile.TemporaryDirectory() as folder:
        trainers = {name: _trainer(benchmark, Path(folder) / name, name) for name in FORMATS}
        name, options = benchmark.network
        splits = {split: sources[0].split for split, sources in trainers["fp32"].problem.sources.items()}
        research = ResearchWay(networks.get(name)(**options), splits)
        variants: dict[str, Callable[[], object]] = {"research": research.epoch}
        variants |= {name: _one_epoch(trainer) for name, trainer in trainers.items()}
        times = interleaved(variants, repetitions, budget)
    yardstick = times["research"].median_cpu
    what = f"MultiMNIST, epoch of {TRAIN:,} images, M={M}, then 11 preferences on {VALIDATION:,}"
    return [
        Figure(f"{what}: ours {name} / research code's way", times[name].median_cpu / yardstick, 0.5)
        for name in trainers
    ]


def _trainer(benchmark: MultiMNIST, folder: Path, precision: str) -> Trainer:
    options = TrainingOptions(epochs=1, batch_size=BATCH, eval_batch_size=BATCH, precision=precision)
    method = PaLoRA(conditioning=LowRank(rank=RANK), num_preferences=M)
    trainer = Trainer(Run(folder), benchmark.problem(folder), method, options, device="cpu")
    trainer.run.create(trainer.config())
    return trainer


def _one_epoch(trainer: Trainer) -> Callable[[], None]:
    def run() -> None:
        trainer.step = 0
        trainer.loop()  # batches, steps, saved state and validation front, without the final test

    return run
