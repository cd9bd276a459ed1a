"""A model in memory with everything that is shown about it, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.library.entries import FRONT, Entry, without_paths
from palora_core import checkpoint
from palora_core.benchmarks.base import Benchmark
from palora_core.conditioning.base import ParetoModel
from palora_core.data import ArraySplit, load_samples
from palora_core.errors import UserError
from palora_core.front import Front
from palora_core.tasks import Task
from palora_core.training.card import benchmark_of


@dataclass(eq=False)
class LoadedModel:
    """A model in memory with everything that is shown about it."""

    entry: Entry
    model: ParetoModel
    card: Mapping[str, Any]
    benchmark: Benchmark
    tasks: tuple[Task, ...]
    front: Front | None
    samples: ArraySplit | None
    problems: list[str] = field(default_factory=list)

    @property
    def num_tasks(self) -> int:
        """T."""
        return len(self.tasks)

    @property
    def key(self) -> str:
        """Identifies what is shown: id, hash of the weights, and which samples."""
        return f"{self.entry.id}@{self.card['weights_sha256'][:16]}/{self.entry.samples_stamp}"

    @property
    def has_pictures(self) -> bool:
        """Whether inputs can be shown as pictures (and pictures be sent in)."""
        return self.benchmark.input_kind in ("rgb", "grey")

    @property
    def units(self) -> dict[str, str]:
        """Units of depth tasks by name, where the benchmark knows them."""
        unit = getattr(self.benchmark, "depth_unit", "")
        return {task.name: unit for task in self.tasks if task.kind == "depth" and unit}

    @cached_property
    def example(self) -> Tensor | None:
        """A few inputs [B, …] for folding and probing; None without samples."""
        if self.samples is None:
            return None
        return self.samples.batch(torch.arange(min(4, len(self.samples))))[0]

    @cached_property
    def depth_ranges(self) -> dict[str, tuple[float, float]]:
        """Per depth task the range of its colours: 1st to 99th percentile of the samples' ground truth."""
        if self.samples is None or len(self.samples) == 0:
            return {}
        targets = self.samples.batch(torch.arange(len(self.samples)))[1]
        ranges = {}
        for task in self.tasks:
            if task.kind == "depth" and task.name in targets:
                known = targets[task.name].float().numpy()
                known = known[np.isfinite(known) & (known != 0)]
                if known.size:
                    low, high = np.percentile(known, [1, 99])
                    ranges[task.name] = (float(low), float(high if high > low else low + 1))
        return ranges


def load(entry: Entry) -> LoadedModel:
    """Read a model folder; what is missing beside card and weights is noted in ``problems``.

    Raises:
        UserError: damaged, or made for something this program does not have.
    """
    try:
        model, card = checkpoint.load(entry.folder)
        benchmark = benchmark_of(card)
        tasks = tuple(benchmark.tasks)
        names = [task["name"] for task in card["tasks"]]
        if [task.name for task in tasks] != names:
            raise UserError(
                f"The tasks of {entry.title} ({', '.join(names)}) are not those of the benchmark "
                f"{entry.benchmark!r} ({', '.join(task.name for task in tasks)}); use the version it was trained with."
            )
    except UserError as error:
        raise UserError(without_paths(str(error), entry.folder)) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"The card of {entry.title} cannot be used ({error!r}); restore the model folder.") from None
    problems: list[str] = []
    front = _front(entry, names, problems)
    samples = _samples(entry, benchmark, tasks, problems)
    return LoadedModel(entry, model, card, benchmark, tasks, front, samples, problems)


def _front(entry: Entry, names: Sequence[str], problems: list[str]) -> Front | None:
    if not (entry.folder / FRONT).exists():
        problems.append(f"{entry.folder.name} has no front yet; `palora evaluate` on its folder makes one.")
        return None
    try:
        front = Front.load(entry.folder / FRONT)
        if list(front.tasks) != list(names):
            raise UserError("The front belongs to other tasks; evaluate the model again.")
        return front
    except UserError as error:
        problems.append(without_paths(str(error), entry.folder))
        return None


def _samples(entry: Entry, benchmark: Benchmark, tasks: Sequence[Task], problems: list[str]) -> ArraySplit | None:
    try:
        samples = load_samples(entry.samples_file, benchmark.convert)
        if len(samples) == 0:
            raise UserError(f"The samples of {entry.title} are empty; copy the model folder again.")
        _, targets = samples.batch(torch.arange(1))
        missing = [task.name for task in tasks if task.name not in targets]
        if missing:
            raise UserError(f"The samples have no ground truth for {missing[0]!r}; copy the model folder again.")
        return samples
    except UserError as error:
        problems.append(without_paths(str(error), entry.folder))
    except (KeyError, ValueError, RuntimeError, IndexError, TypeError) as error:
        problems.append(f"The samples do not fit this benchmark ({error}); copy the model folder again.")
    return None
