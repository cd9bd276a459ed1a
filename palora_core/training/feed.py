"""Which items a step trains on: a function of the seed and the step alone, so that a resume repeats it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from palora_core import distributed
from palora_core.benchmarks.base import Benchmark
from palora_core.data import Batch, Split
from palora_core.errors import UserError
from palora_core.machine import channels_last
from palora_core.training.options import TrainingOptions
from palora_core.training.prefetch import Prefetcher


class Feed:
    """Batches of a training, on the device it runs on.

    Args:
        benchmark: owns the augmentation.
        splits: ``train``, ``val`` and ``test``.
        options: batch size, epochs, seed.
        device: where batches go.

    Raises:
        UserError: fewer items in a batch than ranks.
    """

    def __init__(
        self, benchmark: Benchmark, splits: Mapping[str, Split], options: TrainingOptions, device: torch.device
    ) -> None:
        self.benchmark, self.splits, self.options, self.device = benchmark, splits, options, device
        if min(options.batch_size, len(splits["train"])) < distributed.world_size():
            raise UserError(f"batch_size {options.batch_size} gives some of the ranks no item; start fewer ranks.")
        self.steps_per_epoch = max(1, len(splits["train"]) // options.batch_size)
        self.total_steps = self.steps_per_epoch * options.epochs
        self.prefetcher = Prefetcher(self._made, self.total_steps, device)
        self._epoch_order: tuple[int, Tensor] | None = None

    def generator(self, purpose: str, *position: int) -> torch.Generator:
        """Randomness that depends on the seed, a purpose and a place in training only."""
        words = [self.options.seed, *purpose.encode(), *position]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator().manual_seed(seed)

    def training(self, step: int) -> Batch:
        """This rank's part of the batch of ``step``, augmented."""
        return self._on_device(self.prefetcher(step))

    def held_out(self, step: int) -> Batch:
        """A random batch of the validation split, for balancers that learn from one."""
        size = min(self.options.batch_size, len(self.splits["val"]))
        indices = torch.randint(len(self.splits["val"]), (size,), generator=self.generator("held out", step))
        return self._on_device(self._checked(self.splits["val"].batch(indices)))

    def calibration(self) -> Iterator[Tensor]:
        """:func:`first_inputs` of the training split, on the device."""
        for x in first_inputs(self.splits["train"], self.options.calibration_items, self.options.batch_size):
            yield channels_last(x.to(self.device, non_blocking=True))

    def _made(self, step: int) -> Batch:
        """On the host; the thread that works ahead calls this, too."""
        epoch, index = divmod(step, self.steps_per_epoch)
        known = self._epoch_order  # read once: another thread may be making another step's batch
        order = known[1] if known is not None and known[0] == epoch else self._order(epoch)
        self._epoch_order = epoch, order
        size = self.options.batch_size
        batch = self.splits["train"].batch(order[index * size : (index + 1) * size])
        return self._checked(_own_rows(self.benchmark.augment(batch, self.generator("batch", step))))

    def _checked(self, batch: Batch) -> Batch:
        """``batch``, whose targets go to a GPU, where a loss could only look by waiting; on a CPU it looks itself."""
        if self.device.type != "cpu":
            for task in self.benchmark.tasks:
                task.check(batch)
        return batch

    def _order(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.splits["train"]), generator=self.generator("order", epoch))

    def _on_device(self, batch: Batch) -> Batch:
        x, targets = batch
        targets = {name: target.to(self.device, non_blocking=True) for name, target in targets.items()}
        return channels_last(x.to(self.device, non_blocking=True)), targets


def first_inputs(split: Split, items: int, batch_size: int) -> Iterator[Tensor]:
    """Inputs of a split's first items, in batches of one size, for statistics of BatchNorm layers."""
    count = min(items, len(split))
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield split.batch(torch.arange(start, start + size))[0]


def _own_rows(batch: Batch) -> Batch:
    """This rank's rows of the global batch (all of them in a single process)."""
    rows = distributed.part(len(batch[0]))
    return batch[0][rows], {name: target[rows] for name, target in batch[1].items()}
