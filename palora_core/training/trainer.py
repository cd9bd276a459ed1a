"""The one training loop: any method on any problem, resumable to the bit."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from palora_core import distributed
from palora_core.errors import UserError
from palora_core.machine import choose_device, precision_dtype
from palora_core.methods.base import Method
from palora_core.problem import Problem
from palora_core.storage.runs import Observer, Run
from palora_core.training.building import Maker, build_model, problem_of
from palora_core.training.callbacks import Callbacks
from palora_core.training.card import run_config
from palora_core.training.engines import choose_engine
from palora_core.training.feed import Feed
from palora_core.training.fronts import Fronts
from palora_core.training.live import Live
from palora_core.training.options import TrainingOptions
from palora_core.training.reporting import Reporter
from palora_core.training.state import SavedState
from palora_core.training.steps import Steps
from palora_core.training.stopping import StoppedInFront, Stopping
from palora_core.training.update import Update


class Trainer:
    """Trains one method on one problem in one run folder.

    Args:
        run: the folder; its ``config.json`` is written by :meth:`start`.
        problem: network, objectives and data; or a benchmark, which makes them from ``data``.
        method: conditioning, balancer, sampler.
        options: training options.
        data: a benchmark's data root; a problem has its data.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, …
        progress: called with (what, done, total) for a progress bar.
        live: optimizer factory, schedule and callbacks of the program that trains.
    """

    def __init__(
        self,
        run: Run,
        problem: Problem | Maker,
        method: Method,
        options: TrainingOptions,
        data: Path | str | None = None,
        device: str = "auto",
        progress: Callable[[str, int, int], None] | None = None,
        live: Live | None = None,
    ) -> None:
        options.check_together()
        problem = problem_of(problem, data, progress)
        self.run = run if distributed.is_main() else Observer(run.folder)
        self.problem, self.method, self.options, self.live = problem, method, options, live or Live()
        self.device = choose_device(device)
        self.dtype = precision_dtype(options.precision, self.device)
        self.progress = progress or (lambda what, done, total: None)
        self.objectives = problem.objectives
        self.reporter = Reporter(self, Callbacks(self.live.callbacks))
        self.feed = Feed(problem, options, self.device)
        self.steps_per_epoch, self.total_steps = self.feed.steps_per_epoch, self.feed.total_steps
        self.step = 0  # steps done
        self.seconds = 0.0  # training time of earlier sessions of this run
        self.began = time.monotonic()
        self.stopping, self.state, self.fronts = Stopping(self.run), SavedState(self), Fronts(self)
        built = build_model(problem, method, options, self.device, self.state.path.exists())
        self.model, self.caller, self.base_parameters = built.model, built.caller, built.base_parameters
        self.origin = built.origin  # what came from options.start_from
        self.balancer = copy.deepcopy(method.balancer)
        self.balancer.setup(len(self.objectives), self.device)
        scaler = torch.amp.GradScaler(self.device.type) if self.dtype == torch.float16 else None
        learnt = self.balancer.parameters()
        self.update = Update(self.model, learnt, options, self.live, self.total_steps, scaler)
        distributed.broadcast_(self.model.state_dict().values())
        self.engine, self.engine_chosen = choose_engine(
            options.engine,
            self.model,
            self.objectives,
            self.balancer,
            self.dtype,
            self.device,
            self.caller,
            len(self.feed.sources),
        )
        self.steps = Steps(self)

    def start(self) -> None:
        """Begin a new run: write its configuration, then train."""
        self.run.create(self.config())
        self._train(resumed=False)

    def resume(self) -> None:
        """Continue the run from its last saved state; the result equals that of an uninterrupted run."""
        if self.run.status() == "finished":
            return
        self.state.load()
        self._train(resumed=True)

    def stop(self) -> None:
        """Save the state and end after the current step."""
        self.stopping.ask()

    def _train(self, resumed: bool) -> None:
        self.run.claim()
        self.run.forget_after(self.step)
        self.began = self.state.saved = time.monotonic()
        with self.stopping.signals():
            try:
                self.reporter.start(resumed)
                self.reporter.end("finished" if self._to_the_end() else "stopped")
            except Exception as error:
                message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                with suppress(UserError):  # where the disk is full, this is not written either
                    self.reporter.failed(message)
                raise
            finally:
                self.run.release()

    def _to_the_end(self) -> bool:
        """Train, then write the model (True); or stop on the way (False)."""
        try:
            if not self.loop():
                return False
            self.fronts.finish()
        except StoppedInFront:  # the state was saved before the front was begun, and a resume makes it again
            return False
        return True

    def loop(self) -> bool:
        """Train to the end (True) or to a stop (False)."""
        if self.step and self.step % self.steps_per_epoch == 0:
            self.fronts.end_epoch()
        if not self.step and self.options.start_from:
            self.fronts.begin()  # where an expansion starts
        while self.step < self.total_steps:
            first = self.step % self.steps_per_epoch
            heard = torch.zeros(len(self.objectives), dtype=torch.bool, device=self.device)
            for index in range(first, self.steps_per_epoch):
                losses, preferences = self.steps.take()
                self.reporter.step(losses, preferences)
                heard |= (losses != 0).any(0)
                if index == self.steps_per_epoch - 1:
                    break  # the end of an epoch is saved below, after the balancer has seen it
                if self.stopping.wanted():
                    self.state.save()
                    return False
                if self.state.due():
                    self.state.save()
            self.balancer.end_epoch()
            self.reporter.epoch(heard if first == 0 else None)
            self.state.save()
            if self.stopping.wanted() and self.step < self.total_steps:
                return False  # the front of this epoch is made on resuming
            self.fronts.end_epoch()
        return True

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // self.steps_per_epoch

    def tau_at(self, step: int) -> float:
        """Training time τ of a step: 0 at the first, 1 at the last."""
        return min(1.0, step / max(1, self.total_steps - 1))

    @property
    def tau(self) -> float:
        """Training time of the coming step."""
        return self.tau_at(self.step)

    @property
    def elapsed(self) -> float:
        """Training seconds of this run, earlier sessions included."""
        return self.seconds + time.monotonic() - self.began

    def config(self) -> dict[str, Any]:
        """The run's configuration, enough to build this trainer again but for what only its program has."""
        return run_config(self.problem, self.method, self.options, self.live)
