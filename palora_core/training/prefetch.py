"""Batches made ahead: while a GPU works on one step, a thread reads, augments and pins the next step's batch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from palora_core import batches


class Prefetcher:
    """Calls ``make`` for the step asked for, and for the one after it in a thread.

    A batch depends on its step alone, so nothing changes but the time at which it is made: a step that was not expected
    (after a resume) is simply made at once, and a problem with a batch is raised where that batch is asked for.

    Args:
        make: step → batch on the host.
        steps: steps of the whole training; none is made beyond.
        device: what the batches are for. On a CPU there is nothing to hide the work behind, so nothing is made ahead.
    """

    def __init__(self, make: Callable[[int], Any], steps: int, device: torch.device) -> None:
        self.make, self.steps = make, steps
        self.pinned = device.type == "cuda"
        self.ahead = device.type != "cpu"
        self._thread: ThreadPoolExecutor | None = None
        self._next: tuple[int, Future[Any]] | None = None

    def __call__(self, step: int) -> Any:
        """The batch of ``step``."""
        if not self.ahead:
            return self.make(step)
        waiting, self._next = self._next, None
        expected = waiting is not None and waiting[0] == step
        batch = waiting[1].result() if waiting and expected else self._made(step)
        if step + 1 < self.steps:
            self._thread = self._thread or ThreadPoolExecutor(1, "prefetch")
            self._next = step + 1, self._thread.submit(self._made, step + 1)
        return batch

    def _made(self, step: int) -> Any:
        made = self.make(step)
        return batches.pinned(made) if self.pinned else made
