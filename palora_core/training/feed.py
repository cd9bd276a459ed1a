"""Which items a step trains on: a function of the seed and the step alone, so that a resume repeats it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core import batches, distributed
from palora_core.batches import Batch
from palora_core.data import Data, LoaderSplit
from palora_core.errors import UserError
from palora_core.problem import Problem
from palora_core.sources import Portion, Source
from palora_core.training.options import TrainingOptions
from palora_core.training.prefetch import Prefetcher

# Who decides which items a step trains on, as start events and cards say it.
SEED = "a function of the seed; a resumed run ends like one without a stop"
LOADER = "the data loader's own, begun anew by a resume"


class Feed:
    """Batches of a training, on the device it runs on: one from each source of the training data per step.

    An epoch is a pass over the longest source (``options.sources == "longest"``: shorter ones begin again, in another
    order) or over the shortest. A loader's order is its own: it is followed, and begun anew after a resume.

    Args:
        problem: owns data and augmentation.
        options: batch size, epochs, seed.
        device: where batches go.

    Raises:
        UserError: fewer items in a batch than ranks.
    """

    def __init__(self, problem: Problem, options: TrainingOptions, device: torch.device) -> None:
        self.problem, self.options, self.device = problem, options, device
        self.sources = problem.sources["train"]
        for source in self.sources:
            if isinstance(source.split, LoaderSplit):
                continue
            if min(options.batch_size, len(source.split)) < distributed.world_size():
                raise UserError(f"batch_size {options.batch_size} gives some of the ranks no item; start fewer ranks.")
        for source in self.sources:
            self._check_enough(source.split)
        steps = [self._steps(source.split) for source in self.sources]
        self.steps_per_epoch = max(steps) if options.sources == "longest" else min(steps)
        self.total_steps = self.steps_per_epoch * options.epochs
        self.order = LOADER if any(isinstance(source.split, LoaderSplit) for source in self.sources) else SEED
        self.prefetcher = Prefetcher(self._made, self.total_steps, device)
        self._orders: dict[int, tuple[int, Tensor]] = {}
        self._loaders: dict[int, Iterator[Batch]] = {}

    def generator(self, purpose: str, *position: int) -> torch.Generator:
        """Randomness that depends on the seed, a purpose and a place in training only."""
        words = [self.options.seed, *purpose.encode(), *position]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator().manual_seed(seed)

    def training(self, step: int) -> list[list[Portion]]:
        """This rank's part of the batches of ``step``, augmented; one list of portions per accumulated batch."""
        return [[self._on_device(portion) for portion in portions] for portions in self.prefetcher(step)]

    def held_out(self, step: int) -> list[Portion]:
        """A random batch of each source of the validation split, for balancers that learn from one."""
        found = []
        for number, source in enumerate(self.problem.sources["val"]):
            if isinstance(source.split, LoaderSplit):
                raise UserError("This balancer learns from random validation items; give val= a data set, no loader.")
            size = min(self.options.batch_size, len(source.split))
            random = self.generator("held out", step, *_place(number))
            indices = torch.randint(len(source.split), (size,), generator=random)
            found.append(self._on_device(self._checked(Portion(source.split.batch(indices), source.objectives))))
        return found

    def calibration(self) -> Iterator[Any]:
        """Inputs of the first training items of every source, on the device."""
        for source in self.sources:
            for inputs in first_inputs(source.split, self.options.calibration_items, self.options.batch_size):
                yield batches.move(inputs, self.device)

    # -- one step ----------------------------------------------------------------------------------------------------
    def _batches(self, split: Data) -> int:
        return split.steps if isinstance(split, LoaderSplit) else max(1, len(split) // self.options.batch_size)

    def _steps(self, split: Data) -> int:
        return self._batches(split) // self.options.accumulate

    def _check_enough(self, split: Data) -> None:
        found, wanted = self._batches(split), self.options.accumulate
        if not found:
            kind = type(split.loader if isinstance(split, LoaderSplit) else split).__name__
            raise UserError(f"The {kind} yields no batch; expected at least one.")
        if found < wanted:
            count = f"{found} batch" + ("es" if found > 1 else "")
            raise UserError(
                f"accumulate {wanted} needs as many batches in an epoch, and the training data have {count} of "
                f"{self.options.batch_size}; lower accumulate or batch_size."
            )

    def _made(self, step: int) -> list[list[Portion]]:
        """On the host; the thread that works ahead calls this, too."""
        count = self.options.accumulate
        return [
            [self._portion(number, source, step, part) for number, source in enumerate(self.sources)]
            for part in range(count)
        ]

    def _portion(self, number: int, source: Source, step: int, part: int) -> Portion:
        """The ``part``-th batch of a step from one source."""
        if isinstance(source.split, LoaderSplit):
            batch = self._loaded(number, source.split)
        else:
            batch = self._chosen(number, source.split, step, part)
        if self.problem.augment is not None:
            place = step * self.options.accumulate + part
            batch = self.problem.augment(batch, self.generator("batch", place, *_place(number)))
        if not isinstance(source.split, LoaderSplit):  # under torchrun a loader's sampler gives every rank its own
            batch = _own_rows(batch)
        return self._checked(Portion(batch, source.objectives))

    def _chosen(self, number: int, split: Any, step: int, part: int) -> Batch:
        """The items of ``step`` in the order of this pass over the source."""
        turn, index = divmod(step, self._steps(split))
        index = index * self.options.accumulate + part
        known = self._orders.get(number)  # read once: another thread may be making another step's batch
        order = known[1] if known is not None and known[0] == turn else self._order(number, split, turn)
        self._orders[number] = turn, order
        size = self.options.batch_size
        batch: Batch = split.batch(order[index * size : (index + 1) * size])
        return batch

    def _order(self, number: int, split: Any, turn: int) -> Tensor:
        return torch.randperm(len(split), generator=self.generator("order", turn, *_place(number)))

    def _loaded(self, number: int, split: LoaderSplit) -> Batch:
        """The loader's next batch, from its beginning where it has ended."""
        try:
            return next(self._loaders[number])
        except (KeyError, StopIteration):
            self._loaders[number] = iter(split)
            return next(self._loaders[number])

    def _checked(self, portion: Portion) -> Portion:
        """``portion``, whose targets go to a GPU, where a loss could only look by waiting; on a CPU it looks itself."""
        if self.device.type != "cpu":
            for t in portion.objectives:
                self.problem.objectives[t].check(portion.batch)
        return portion

    def _on_device(self, portion: Portion) -> Portion:
        inputs, targets = portion.batch
        moved = batches.move(inputs, self.device), batches.mapped(self._moved, targets)
        return Portion(moved, portion.objectives)

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)


def _place(number: int) -> tuple[int, ...]:
    """Randomness of the first source is what it was when there was only one."""
    return (number,) if number else ()


def first_inputs(split: Data, items: int, batch_size: int) -> Iterator[Any]:
    """Inputs of the first ``items`` items, in whole batches: what statistics of BatchNorm layers are estimated from."""
    if isinstance(split, LoaderSplit):
        seen = 0
        for inputs, _ in split:
            yield inputs
            seen += batches.count(inputs)
            if seen >= items:
                return
        return
    count = min(items, len(split))
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield split.batch(torch.arange(start, start + size))[0]


def _own_rows(batch: Batch) -> Batch:
    """This rank's rows of the global batch (all of them in a single process)."""
    if distributed.world_size() == 1:
        return batch
    inputs, targets = batch
    rows = distributed.part(batches.count(inputs))
    return batches.rows(inputs, rows), batches.rows(targets, rows)
