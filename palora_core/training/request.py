"""A call of pc.fit as one object: from names and objects to a trainer, at its beginning or where a run has stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palora_core.benchmarks.base import Benchmark, benchmarks
from palora_core.config import from_dict
from palora_core.errors import UserError, quoted
from palora_core.methods.base import Method, methods
from palora_core.paths import new_run_folder
from palora_core.problem import Problem
from palora_core.storage.runs import Run
from palora_core.training.live import Live
from palora_core.training.resuming import refuse_changes, refuse_other_objects, resume_trainer
from palora_core.training.setup import configure, configure_problem
from palora_core.training.trainer import Trainer

OPTIMIZER_OPTIONS = ("momentum", "betas", "weight_decay")  # of the named optimizers; a factory has its own


@dataclass(frozen=True)
class Request:
    """What is to be trained.

    Attributes:
        problem: of one's own, a benchmark, or a benchmark's name.
        method: name or object; "" for the default, or for that of the run to go on with.
        settings: option → value.
        parts: of the method, by name or as objects.
        live: the program's objects.
        device: where to train.
        progress: for a progress bar.
        data: the data root of a benchmark.
    """

    problem: Problem | Benchmark | str
    method: str | Method
    settings: Mapping[str, Any]
    parts: Mapping[str, Any]
    live: Live
    device: str
    progress: Callable[[str, int, int], None]
    data: Path

    def folder(self) -> Path:
        """A run folder for it that is not there yet."""
        if isinstance(self.problem, Problem):
            kind = str(self.problem.named_network().get("class", "")).rpartition(".")[2]
            name = self.problem.name or self.problem.about.title or kind
        else:
            found = self.benchmark()
            name = found if isinstance(found, str) else benchmarks.name_of(found)
        method = self.method if isinstance(self.method, str) else methods.name_of(self.method)
        return new_run_folder(name, method or "palora")

    def begun(self, run: Run) -> Trainer:
        """The trainer of a new run."""
        problem, method = self.problem, self.method or "palora"
        if isinstance(problem, Problem) and not problem.name:
            chosen, options = configure_problem(problem, method, self.settings, self.parts)
        else:
            bench, chosen, options = configure(self.benchmark(), method, self.settings, self.parts)
            problem = problem if isinstance(problem, Problem) else bench.problem(self.data, self.progress)
        return Trainer(run, problem, chosen, options, device=self.device, progress=self.progress, live=self.live)

    def resumed(self, run: Run) -> Trainer:
        """The trainer of a run that is there, if it was begun with what is asked for."""
        given = self.problem if isinstance(self.problem, Problem) else None
        own = given is not None and not given.name
        refuse_changes(run, "" if own else self.benchmark(), self.method, self.settings, self.parts)
        trainer = resume_trainer(run, self.data, self.device, self.progress, given, self.live)
        refuse_other_objects(run, trainer.problem, self.live)
        return trainer

    def benchmark(self) -> str | Benchmark:
        """The benchmark that is meant."""
        if isinstance(self.problem, Problem):
            found: Benchmark = from_dict(benchmarks.get(self.problem.name), self.problem.options)
            return found
        if not isinstance(self.problem, str | Benchmark):
            raise UserError(
                f"The problem is {quoted(self.problem)}; expected a pc.Problem, a benchmark, or a benchmark's name."
            )
        return self.problem


def live_of(optimizer: Any, schedule: Any, callbacks: list[Any], settings: Mapping[str, Any]) -> Live:
    """The objects among what was asked for.

    Raises:
        UserError: neither a name nor a function, or settings that a factory's optimizer does not know.
    """
    for name, given in (("optimizer", optimizer), ("schedule", schedule)):
        if given is not None and not isinstance(given, str) and not callable(given):
            raise UserError(f"{name} is a {type(given).__name__}; expected a name or a function.")
    live = Live(optimizer if callable(optimizer) else None, schedule if callable(schedule) else None, tuple(callbacks))
    idle = [name for name in OPTIMIZER_OPTIONS if name in settings and live.optimizer is not None]
    if idle:
        raise UserError(f"{idle[0]} has no effect with an optimizer of one's own; give it to its factory instead.")
    return live
