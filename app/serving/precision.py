"""Which number format a model is served in: bfloat16 where the processor is fast at it and the pictures stay the same.

Rounding everything moves up to 3 % of SegNet's labels: near its input it changes which pixel of four is the largest,
and with that where the decoder puts it. So trials differ in how many of the first layers stay in float32. A large
network that answers with its own weights is tried as a whole: it spends its time on reading them.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor

from app.library.loading import LoadedModel
from palora_core import batches
from palora_core.machine import has_fast_bf16, multiplies_bf16
from palora_core.serving import Served, SharedNetwork, served
from palora_core.simplex import simplex_lattice
from palora_core.tasks import Task

# A lower precision must be worth its small differences.
WORTH = 0.85
# Shares of the layers, counted from the input, that stay exact; the fastest first.
EXACT_SHARES = (0.0, 0.25, 0.3, 0.4, 0.5)


class ServedNetwork:
    """The network a model is served with: exact at once, in a faster format after :meth:`improve` has found one.

    Args:
        loaded: the model.
        example: inputs [B, …] to fold and compare with, or None.

    Attributes:
        network: what answers while somebody drags.
        exact: what answers where λ rests, so that one λ has one set of figures on all pages, at any time.
    """

    def __init__(self, loaded: LoadedModel, example: Any) -> None:
        self._tasks, self._probes = loaded.predicting, _probes(loaded.num_tasks)
        self.network: Served = served(loaded.model, example, loaded.caller)
        self.exact = self.network
        self._search = iter(())
        pictures, processor = isinstance(example, Tensor) and example.dim() == 4, torch.device("cpu")
        if isinstance(self.network, SharedNetwork) and multiplies_bf16(processor):
            self._search = self._trials(batches.rows(example, slice(0, 1)), EXACT_SHARES[:1])
        elif pictures and has_fast_bf16(processor):
            self._search = self._trials(example, EXACT_SHARES)

    @property
    def format(self) -> str:
        """The number format of what answers while somebody drags, in words."""
        return written(self.network)

    def improve(self) -> bool:
        """Do one more step of the search, as long as a few forward passes; returns False when it is over."""
        return next(self._search, False)

    def _trials(self, example: Any, shares: tuple[float, ...]) -> Iterator[bool]:
        exact, wanted = self.network, []
        for preference in self._probes:
            wanted.append(exact(example, preference))
            yield True
        for share in shares:
            trial = exact.in_format(torch.bfloat16, round(share * exact.layers))
            yield True
            agree = True
            for preference, expected in zip(self._probes, wanted):
                found = trial(example, preference)
                agree = all(
                    _agree(task, task.prediction_of(expected), task.prediction_of(found)) for task in self._tasks
                )
                yield True
                if not agree:
                    break
            if agree:
                one, centre = batches.rows(example, slice(0, 1)), self._probes[0]
                spent = yield from _seconds(trial, one, centre)
                # Later trials would be slower than this one.
                if spent < WORTH * (yield from _seconds(exact, one, centre)):
                    self.network = trial
                return


def written(network: Served) -> str:
    """The number format of a network in words."""
    if network.dtype == torch.float32:
        return "fp32"
    return f"bf16, first {network.exact} layers fp32" if network.exact else "bf16"


def _probes(num_tasks: int) -> list[Tensor]:
    """The centre and up to four corners."""
    centre = torch.full((num_tasks,), 1 / num_tasks)
    return [centre, *simplex_lattice(num_tasks, 1)[:4]] if num_tasks > 1 else [centre]


def _agree(task: Task, first: Tensor, second: Tensor) -> bool:
    return bool(torch.isfinite(second).all()) and task.agrees(first, second)


def _seconds(network: Served, x: Any, preference: Tensor, runs: int = 4) -> Generator[bool, None, float]:
    """CPU time of the shortest of a few passes: wall time would measure whoever else uses the machine."""
    network(x, preference)
    best = float("inf")
    for _ in range(runs):
        yield True
        start = time.thread_time()
        network(x, preference)
        best = min(best, time.thread_time() - start)
    return best
