"""Training from Python: ``run = pc.fit(problem, out="runs/mine", epochs=5); run.model, run.front()``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palora_core import checkpoint, distributed
from palora_core.benchmarks.base import Benchmark, benchmarks
from palora_core.cards import read_card
from palora_core.conditioning.base import ParetoModel
from palora_core.config import from_dict
from palora_core.errors import UserError, quoted
from palora_core.front import Front
from palora_core.methods.base import Method, methods
from palora_core.places import data_folder, new_run_folder
from palora_core.problem import Problem
from palora_core.progress import Bar
from palora_core.runs import Run
from palora_core.training.live import Factory, Live, Schedule
from palora_core.training.loggers import logger
from palora_core.training.resuming import refuse_changes, refuse_other_objects, resume_trainer
from palora_core.training.setup import configure, configure_problem
from palora_core.training.trainer import Trainer

OPTIMIZER_OPTIONS = ("momentum", "betas", "weight_decay")  # of the named optimizers; a factory has its own


@dataclass(frozen=True)
class Fitted:
    """A training's run folder and its model.

    Attributes:
        folder: holds all that ``palora train`` leaves.
        model: the trained network in evaluation mode; of a run that was stopped, as far as it came.
    """

    folder: Path
    model: ParetoModel

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        return Run(self.folder).status() == "finished"

    def front(self) -> Front:
        """The front of the test split.

        Raises:
            UserError: the run is not finished.
        """
        self._check_finished()
        return Front.load(self.folder / "front.json")

    def card(self) -> dict[str, Any]:
        """The model card.

        Raises:
            UserError: the run is not finished.
        """
        self._check_finished()
        return read_card(self.folder)

    def events(self) -> list[dict[str, Any]]:
        """What happened, as ``events.jsonl`` has it."""
        return Run(self.folder).events()

    def _check_finished(self) -> None:
        if not self.finished:
            raise UserError(
                f"The run in {self.folder} is {Run(self.folder).status()}, and its front and card come at the end; go "
                "on with pc.fit(…, out=…, resume=True)."
            )


def fit(
    problem: Problem | Benchmark | str,
    method: str | Method = "",
    out: Path | str | None = None,
    epochs: int | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: bool | Callable[[str, int, int], None] = True,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    optimizer: str | Factory | None = None,
    schedule: str | Schedule | None = None,
    conditioning: Any = None,
    balancer: Any = None,
    sampler: Any = None,
    data: Path | str | None = None,
    **settings: Any,
) -> Fitted:
    """Train, in a script or a notebook; the run folder is that of ``palora train``.

    Ctrl-C stops after the step and keeps the state; ``resume=True`` goes on with it and ends as if nothing had been.

    Args:
        problem: a problem of one's own, a benchmark, or a benchmark's name.
        method: name, or a method with its options; palora by default.
        out: the run folder, new or empty; one below ``runs`` named after problem and method if None.
        epochs: passes over the training data; the benchmark's recipe, or 10.
        resume: go on with the run in ``out``; what is asked for beside must be what it was begun with.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, …
        progress: whether to show a bar, or a function of (what, done, total).
        callbacks: objects with any of the methods in :mod:`palora_core.training.callbacks`.
        loggers: ``"tensorboard"``, ``"wandb"``, ``"mlflow"``, or objects like callbacks.
        optimizer: ``"adam"``, ``"adamw"``, ``"sgd"``, or a function of parameter groups that makes one
            (``torch.optim.RAdam``); the groups have their learning rates from ``lr``.
        schedule: ``"milestones"``, ``"cosine"``, ``"linear"``, ``"constant"``, or a function from the step (from 0) to
            a factor on the learning rates.
        conditioning: in place of the method's, by name or as an object; likewise ``balancer`` and ``sampler``.
        data: the data root of a benchmark.
        settings: any option by name, as ``--set`` takes it: ``lr=3e-4, rank=4, clip_norm=1.0, ema=0.999`` (see
            :class:`palora_core.training.options.TrainingOptions`).

    Raises:
        UserError: something that cannot be trained as asked for, named, as far as possible before anything is written.
    """
    asked = {"epochs": epochs, "optimizer": optimizer, "schedule": schedule}
    settings |= {name: value for name, value in asked.items() if value is not None and not callable(value)}
    parts = {"conditioning": conditioning, "balancer": balancer, "sampler": sampler}
    parts = {name: part for name, part in parts.items() if part is not None}
    live = _live(optimizer, schedule, [*callbacks, *map(logger, loggers)], settings)
    if resume and out is None:
        raise UserError("resume=True needs the run folder to go on with; give out=.")
    joined = distributed.world_size() > 1
    device = distributed.start(device)
    bar = progress if callable(progress) else Bar(shown=bool(progress) and distributed.is_main())
    run = Run(Path(out) if out is not None else _folder(problem, method))
    begin = _resumed if resume else _begun
    trainer = begin(run, problem, method, settings, parts, live, (device, bar, Path(data or data_folder())))
    try:
        trainer.resume() if resume else trainer.start()
    finally:
        if isinstance(bar, Bar):
            bar.close()
    fitted = _fitted(trainer)
    if not joined:
        distributed.finish()
    return fitted


Place = tuple[str, Callable[[str, int, int], None], Path]  # device, progress, data root


def _live(optimizer: Any, schedule: Any, callbacks: list[Any], settings: Mapping[str, Any]) -> Live:
    for name, given in (("optimizer", optimizer), ("schedule", schedule)):
        if given is not None and not isinstance(given, str) and not callable(given):
            raise UserError(f"{name} is a {type(given).__name__}; expected a name or a function.")
    live = Live(optimizer if callable(optimizer) else None, schedule if callable(schedule) else None, tuple(callbacks))
    idle = [name for name in OPTIMIZER_OPTIONS if name in settings and live.optimizer is not None]
    if idle:
        raise UserError(f"{idle[0]} has no effect with an optimizer of one's own; give it to its factory instead.")
    return live


def _folder(problem: Problem | Benchmark | str, method: str | Method) -> Path:
    if isinstance(problem, Problem):
        kind = str(problem.named_network().get("class", "")).rpartition(".")[2]
        name = problem.name or problem.about.title or kind
    else:
        name = problem if isinstance(problem, str) else benchmarks.name_of(problem)
    return new_run_folder(name, (method if isinstance(method, str) else methods.name_of(method)) or "palora")


def _begun(
    run: Run,
    problem: Problem | Benchmark | str,
    method: str | Method,
    settings: Mapping[str, Any],
    parts: Mapping[str, Any],
    live: Live,
    place: Place,
) -> Trainer:
    device, bar, data = place
    method = method or "palora"
    if isinstance(problem, Problem) and not problem.name:
        chosen, options = configure_problem(problem, method, settings, parts)
    else:
        bench, chosen, options = configure(_benchmark(problem), method, settings, parts)
        problem = problem if isinstance(problem, Problem) else bench.problem(data, bar)
    return Trainer(run, problem, chosen, options, device=device, progress=bar, live=live)


def _resumed(
    run: Run,
    problem: Problem | Benchmark | str,
    method: str | Method,
    settings: Mapping[str, Any],
    parts: Mapping[str, Any],
    live: Live,
    place: Place,
) -> Trainer:
    device, bar, data = place
    own = isinstance(problem, Problem) and not problem.name
    refuse_changes(run, "" if own else _benchmark(problem), method, settings, parts)
    given = problem if isinstance(problem, Problem) else None
    trainer = resume_trainer(run, data, device, bar, given, live)
    refuse_other_objects(run, trainer.problem, live)
    return trainer


def _benchmark(problem: Problem | Benchmark | str) -> str | Benchmark:
    if isinstance(problem, Problem):
        found: Benchmark = from_dict(benchmarks.get(problem.name), problem.options)
        return found
    if not isinstance(problem, str | Benchmark):
        raise UserError(f"The problem is {quoted(problem)}; expected a pc.Problem, a benchmark, or a benchmark's name.")
    return problem


def _fitted(trainer: Trainer) -> Fitted:
    """The result, with the weights that are saved; warnings of the training become Python's."""
    run, folder = trainer.run, trainer.run.folder
    told = [str(event.get("message")) for event in run.events() if event["kind"] == "warning"]
    for message in dict.fromkeys(told) if distributed.is_main() else ():
        warnings.warn(message, stacklevel=3)
    if run.status() == "finished":
        checkpoint.load_weights(trainer.model, checkpoint.read_weights(folder / checkpoint.WEIGHTS))
    elif distributed.is_main():
        print(
            f"stopped at step {trainer.step} of {trainer.total_steps}; go on with pc.fit(…, out={str(folder)!r}, "
            "resume=True)",
            file=sys.stderr,
        )
    return Fitted(folder, trainer.model.eval())
