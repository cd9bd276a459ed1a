"""A model in memory with everything that is shown about it, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.folders import holds, id_of
from app.inputs import InputView, input_view_of
from app.kinds import View, view_of
from app.library.cards import checked_benchmark
from app.library.checks import BATCH, form_of, front_of, predictions_of, samples_of
from app.library.entries import FRONT, Entry, without_paths
from palora_core import checkpoint
from palora_core.batches import Batch, Caller, mapped
from palora_core.benchmarks.base import Benchmark
from palora_core.conditioning.base import ParetoModel
from palora_core.data import Split
from palora_core.errors import UserError
from palora_core.evaluation.familiarity import FILE as FAMILIARITY
from palora_core.evaluation.familiarity import Familiarity
from palora_core.evaluation.front import Front
from palora_core.inputs import as_input
from palora_core.objectives import Objective
from palora_core.sources import FED
from palora_core.storage.examples import made
from palora_core.storage.reading import is_file
from palora_core.storage.samples import Samples
from palora_core.tasks import Task

FEW_MADE = 4  # inputs that are made up, where no samples travel

# Of a network that takes seconds for a batch, figures off the evaluated front are measured on these few items.
LARGE, FEW = 30_000_000, 6

# Test items to measure on where a benchmark has them at hand: enough to tell a few points from chance.
AT_HAND = 256


@dataclass(eq=False)
class LoadedModel:
    """A model in memory with everything that is shown about it."""

    entry: Entry
    model: ParetoModel
    card: Mapping[str, Any]
    benchmark: Benchmark
    tasks: tuple[Objective, ...]
    front: Front | None
    samples: Samples | None
    problems: list[str] = field(default_factory=list)
    form: Mapping[str, Any] | None = None  # of the inputs, where no sample shows it

    @property
    def num_tasks(self) -> int:
        """T."""
        return len(self.tasks)

    @property
    def predicting(self) -> tuple[Task, ...]:
        """The objectives that predict something for every input; others are about many inputs at once."""
        return tuple(one for one in self.tasks if isinstance(one, Task))

    @property
    def key(self) -> str:
        """Identifies what is shown: id, hash of the weights, and which samples."""
        return f"{self.entry.id}@{self.card['weights_sha256'][:16]}/{self.entry.samples_stamp}"

    @cached_property
    def input_view(self) -> InputView:
        """How its inputs are shown and sent."""
        return input_view_of(as_input(self.benchmark.input_kind))

    @cached_property
    def views(self) -> dict[str, View]:
        """How its tasks are shown, by name; colours have one scale for all inputs."""
        told = {entry.get("name"): entry for entry in self.card["tasks"]}
        return {task.name: view_of(task, told.get(task.name), partial(self._targets, task)) for task in self.tasks}

    @property
    def pictured(self) -> tuple[str, ...]:
        """Names of the tasks whose predictions are pictures."""
        return tuple(name for name, view in self.views.items() if view.pictured)

    def places(self, items: Any, most: int) -> dict[str, Tensor] | None:
        """By objective, which of the first items it is about; None where all are about all."""
        targets = getattr(items, "targets", None)
        fed = targets.get(FED) if isinstance(targets, Mapping) else None
        if fed is None or np.shape(fed)[1:] != (len(self.tasks),):
            return None
        columns = torch.from_numpy(np.array(fed[:most], dtype=bool)).T
        return {task.name: column.nonzero()[:, 0] for task, column in zip(self.tasks, columns)}

    @property
    def going(self) -> View | None:
        """What says how things go on from its inputs; None where nothing does."""
        return next((view for view in self.views.values() if view.goes_on), None)

    @cached_property
    def sample_titles(self) -> list[str]:
        """Its samples for people: by what they show, or counted from one."""
        count = 0 if self.samples is None else len(self.samples)
        view = self.input_view
        if not view.titled:
            return [f"sample {place + 1}" for place in range(count)]
        about = self.places(self.samples, count) or {}
        called = {
            task.name: getattr(task, "title", "") or task.name.replace("_", " ").capitalize() for task in self.tasks
        }
        starts = {place: f"{called[name]}: " for name, own in about.items() for place in own.tolist()}
        return [starts.get(place, "") + view.title(self.shown(place)) for place in range(count)]

    def shown(self, place: int) -> Any:
        """A sample as people see it."""
        assert self.samples is not None
        x, _ = self.samples.batch(torch.tensor([place]))
        return self.input_view.input.to_shown(mapped(lambda tensor: tensor[0], x))

    @cached_property
    def caller(self) -> Caller:
        """How inputs become arguments of the model's network."""
        return Caller(self.model.network, self.benchmark.problem().passing)

    def predictions(self, outputs: Any) -> dict[str, Tensor]:
        """The tasks' predictions among a network's outputs, by name; objectives that are no tasks have none."""
        return predictions_of(self.tasks, outputs)

    def truth(self, batch: Batch) -> dict[str, Tensor]:
        """The tasks' targets in a batch, by name, as far as it has them."""
        found = {}
        for task in self.predicting:
            with suppress(UserError):
                found[task.name] = task.target_of(batch)
        return found

    @cached_property
    def example(self) -> Any:
        """A few inputs [B, …] for folding and probing: samples, or made up in the form that the card tells, or None."""
        if self.samples is None:
            return None if self.form is None else made(self.form, FEW_MADE)
        return self.samples.batch(torch.arange(min(4, len(self.samples))))[0]

    @property
    def bare(self) -> bool:
        """Whether no samples travel with it and its card tells the form of its inputs: a person brings their own."""
        return self.samples is None and self.form is not None

    @cached_property
    def measured(self) -> Split | None:
        """What figures off the evaluated front are measured on: test items that are at hand, else plain samples.

        Never samples that were chosen for how much λ changes them: figures on these alone would be of nothing else.
        """
        return self.benchmark.at_hand(AT_HAND) or (None if self.samples is None else self.samples.plain)

    @cached_property
    def familiarity(self) -> Familiarity | None:
        """What tells inputs that are unlike the training data; None where nothing was kept, or nothing can be used."""
        with suppress(UserError):
            return Familiarity.load(self.entry.folder / FAMILIARITY) if holds(self.entry.folder, FAMILIARITY) else None
        return None

    def most_items(self, usual: int) -> int:
        """How many items a figure is measured on while somebody waits: ``usual``, or of a large network few."""
        return min(usual, FEW) if sum(p.numel() for p in self.model.parameters()) > LARGE else usual

    @cached_property
    def crowd(self) -> Batch | None:
        """Test items at hand, for objectives that are about many at once; None without such, or without items."""
        many = None if len(self.predicting) == len(self.tasks) else self.benchmark.at_hand(AT_HAND)
        return None if many is None else many.batch(torch.arange(len(many)))

    def _targets(self, task: Objective) -> list[Tensor]:
        """The ground truth of its samples, in a few batches."""
        if self.samples is None or not isinstance(task, Task):
            return []
        parts = torch.arange(len(self.samples)).split(BATCH)
        return [task.target_of(self.samples.batch(part)) for part in parts]


def load(entry: Entry) -> LoadedModel:
    """Read a model folder; what is missing beside card and weights is noted in ``problems``.

    Raises:
        UserError: damaged, or made for something this program does not have.
    """
    try:
        card = checkpoint.read_card(entry.folder)
        benchmark = checked_benchmark(card)
        model, card = checkpoint.load(entry.folder)
    except UserError as error:
        raise UserError(without_paths(str(error), entry.folder)) from None
    tasks = tuple(benchmark.tasks)
    names = [task.name for task in tasks]
    problems: list[str] = []
    front = _front(entry, names, problems)
    form = None if is_file(entry.samples_file) else _form(card, model, benchmark, problems)
    samples = _samples(entry, model, benchmark, problems) if form is None else None
    return LoadedModel(entry, model, card, benchmark, tasks, front, samples, problems, form)


def _form(
    card: Mapping[str, Any], model: ParetoModel, benchmark: Benchmark, problems: list[str]
) -> Mapping[str, Any] | None:
    try:
        return form_of(card, model, benchmark)
    except UserError as error:
        problems.append(str(error))
        return None


def _front(entry: Entry, names: Sequence[str], problems: list[str]) -> Front | None:
    name = id_of(entry.folder.name)
    if not holds(entry.folder, FRONT):
        problems.append(f"{name} has no front yet; `palora evaluate` on its folder makes one.")
        return None
    try:
        return front_of(entry.folder, names)
    except UserError as error:
        problems.append(without_paths(str(error), entry.folder))
        return None


def _samples(entry: Entry, model: ParetoModel, benchmark: Benchmark, problems: list[str]) -> Samples | None:
    try:
        return samples_of(entry.samples_file, model, benchmark)
    except UserError as error:
        problems.append(without_paths(without_paths(str(error), entry.samples_file.parent), entry.folder))
        return None
