"""What a benchmark is: data, tasks, network, training recipe, hypervolume reference and citation, all in one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core.batches import Batch
from palora_core.data import Split, Targets
from palora_core.evaluation.front import Front
from palora_core.inputs import Input
from palora_core.objectives import Metric, Objective
from palora_core.problem import About, NamedNetwork, Problem
from palora_core.registry import Registry
from palora_core.tasks import Task

benchmarks: Registry = Registry("benchmark", package="palora_core.benchmarks")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Recipe:
    """How a benchmark is trained unless told otherwise.

    Attributes:
        epochs: passes over the training split.
        batch_size: items per step.
        eval_batch_size: items per forward pass in evaluation.
        lr: Adam's learning rate.
        lr_milestones: fractions of training after which the learning rate is multiplied by ``lr_factor``.
        lr_factor: see ``lr_milestones``.
        evaluate_every: epochs between fronts on the validation split.
        schedule: of the learning rate, see :class:`palora_core.training.options.TrainingOptions`; so are the next ones.
        warmup: steps in which the learning rate rises.
        clip_norm: largest norm of all gradients.
        lr_parts: factors on the learning rate of parts of the network.
        ema: decay of a moving average of the weights.
        precision: of forward passes.
        front_points: preferences of the validation fronts.
        test_points: preferences of the test front.
        engine: passes of a step one after another or stacked into one, see :class:`TrainingOptions`.
        methods: per method, its options and parts on this benchmark where they are not its defaults
            (``{"palora": {"rank": 1, "sampler": "fixed"}}``).
    """

    epochs: int
    batch_size: int
    lr: float
    eval_batch_size: int = 256
    lr_milestones: tuple[float, ...] = ()
    lr_factor: float = 0.5
    evaluate_every: int = 1
    schedule: str = "milestones"
    warmup: float = 0.0
    clip_norm: float = 0.0
    lr_parts: str = ""
    ema: float = 0.0
    precision: str = "fp32"
    front_points: int = 0
    test_points: int = 0
    engine: str = "auto"
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """Base of all benchmarks: a frozen dataclass whose fields are the options a user may set.

    Class attributes describe it; ``load`` gives its splits.
    """

    title: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    limits: ClassVar[str] = "For research and teaching; not validated for any other use."
    synthetic: ClassVar[bool] = False
    also_real: ClassVar[bool] = False  # of one that trains on synthetic and on real data
    recipe: ClassVar[Recipe]
    # Options that change only how it is learnt, not what: models that differ in them are still compared.
    learning: ClassVar[frozenset[str]] = frozenset()

    @property
    def tasks(self) -> tuple[Objective, ...]:
        """The T objectives, tasks or others, in the order of λ."""
        raise NotImplementedError

    @property
    def input_kind(self) -> Input | str:
        """What its inputs are to people: how they are shown and sent in; the name of a kind that needs no options."""
        return Input()

    @property
    def reference(self) -> tuple[float, ...]:
        """The fixed reference point [T] of the hypervolume of losses."""
        raise NotImplementedError

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """Registry name and options of the default network."""
        raise NotImplementedError

    def load(self, data: Path, progress: Progress | None = None) -> Mapping[str, Split | Mapping[str, Split]]:
        """The splits ``train``, ``val`` and ``test``, generated or read below ``data``; each one, or one per objective.

        Args:
            data: the data root.
            progress: called with (what is being done, items done, items).

        Raises:
            UserError: data that is missing or damaged, naming the file and what to do.
        """
        raise NotImplementedError

    def problem(self, data: Path = Path(), progress: Progress | None = None) -> Problem:
        """The problem that this benchmark with its options is; data are read when they are first needed."""
        splits = cache(lambda: self.load(data, progress))
        return Problem(
            NamedNetwork(*self.network),
            self.tasks,
            train=partial(_of, splits, "train"),
            val=partial(_of, splits, "val"),
            test=partial(_of, splits, "test"),
            reference=self.reference,
            name=benchmarks.name_of(self),
            options={f.name: _plain(getattr(self, f.name)) for f in fields(self)},
            augment=self.augment if type(self).augment is not Benchmark.augment else None,
            inputs=self.input_kind,
            about=About(self.title, self.summary, self.citation, self.licence, self.limits),
        )

    def convert(self, x: Tensor, targets: Targets) -> Batch:
        """Raw stored arrays of a batch (also those of ``samples.npz``) → network inputs and task targets."""
        return x, targets

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Augment a training batch; randomness from ``generator`` only. Identity by default."""
        return batch

    @property
    def questions(self) -> tuple[Metric, ...]:
        """What else a table asks of a front, where the problem has a question of its own; see :meth:`answer`."""
        return ()

    def answer(self, question: Metric, front: Front) -> float:
        """The figure of one of the :attr:`questions`; NaN for a front that has none."""
        raise NotImplementedError

    def at_hand(self, count: int | None = None) -> Split | None:
        """Items of the test split that are there at once, without a data root; None where there are none.

        Args:
            count: at most so many; None for the whole split, as it is where no data root is given.
        """
        return None

    @property
    def outputs(self) -> dict[str, int]:
        """Task name → output channels; an objective that is no task reads the output of one that is."""
        return {task.name: task.out_channels for task in self.tasks if isinstance(task, Task)}


def origin(benchmark: Any) -> str:
    """What the data of a benchmark, or of its class, are where they are not simply real; for people."""
    if not getattr(benchmark, "synthetic", False):
        return ""
    return "synthetic and real data" if getattr(benchmark, "also_real", False) else "synthetic data"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _of(splits: Callable[[], Mapping[str, Split | Mapping[str, Split]]], name: str) -> Split | Mapping[str, Split]:
    return splits()[name]
