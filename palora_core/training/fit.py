"""Training from Python: ``run = pc.fit(problem, out="runs/mine", epochs=5); run.model, run.front()``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from palora_core import checkpoint, distributed
from palora_core.benchmarks.base import Benchmark
from palora_core.errors import UserError
from palora_core.methods.base import Method
from palora_core.paths import data_folder
from palora_core.problem import Problem
from palora_core.progress import Bar
from palora_core.storage.runs import Run
from palora_core.training.fitted import Fitted
from palora_core.training.live import Factory, Schedule
from palora_core.training.loggers import logger
from palora_core.training.request import Request, live_of
from palora_core.training.trainer import Trainer


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
    if resume and out is None:
        raise UserError("resume=True needs the run folder to go on with; give out=.")
    asked = {"epochs": epochs, "optimizer": optimizer, "schedule": schedule}
    settings |= {name: value for name, value in asked.items() if value is not None and not callable(value)}
    parts = {"conditioning": conditioning, "balancer": balancer, "sampler": sampler}
    parts = {name: part for name, part in parts.items() if part is not None}
    live = live_of(optimizer, schedule, [*callbacks, *map(logger, loggers)], settings)
    joined = distributed.world_size() > 1
    device = distributed.start(device)
    bar = progress if callable(progress) else Bar(shown=bool(progress) and distributed.is_main())
    request = Request(problem, method, settings, parts, live, device, bar, Path(data or data_folder()))
    fitted = _fitted(_trained(request, Run(Path(out) if out is not None else request.folder()), resume))
    if not joined:
        distributed.finish()
    return fitted


def _trained(request: Request, run: Run, resume: bool) -> Trainer:
    """The trainer after the training, or where it was stopped."""
    trainer = request.resumed(run) if resume else request.begun(run)
    try:
        trainer.resume() if resume else trainer.start()
    finally:
        if isinstance(request.progress, Bar):
            request.progress.close()
    return trainer


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
