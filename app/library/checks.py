"""Whether what lies in a model folder belongs to the model: its front, its samples, the form of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.library.entries import FRONT
from palora_core.batches import Caller, tensors
from palora_core.benchmarks.base import Benchmark
from palora_core.checkpoint import NOT_BUILT
from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.objectives import Objective
from palora_core.storage.examples import MOST_NUMBERS, made
from palora_core.storage.samples import Samples, load_samples
from palora_core.tasks import Task

BATCH = 16  # samples that are converted at a time


def predictions_of(tasks: Sequence[Objective], outputs: Any) -> dict[str, Tensor]:
    """The predictions of those objectives that are tasks, by name.

    Raises:
        UserError: the outputs lack one.
    """
    return {task.name: task.prediction_of(outputs) for task in tasks if isinstance(task, Task)}


def front_of(folder: Path, names: Sequence[str]) -> Front:
    """The front in a model folder.

    Raises:
        UserError: there is none, it is damaged, or belongs to other tasks than ``names``.
    """
    front = Front.load(folder / FRONT)
    if list(front.tasks) != list(names):
        raise UserError("The front belongs to other tasks; evaluate the model again.")
    return front


def form_of(card: Mapping[str, Any], model: ParetoModel, benchmark: Benchmark) -> Mapping[str, Any] | None:
    """The form of inputs that a card tells, after the model has answered one of it; None where it tells none.

    Raises:
        UserError: the model takes others.
    """
    told: Mapping[str, Any] | None = card.get("example")
    if told is None:
        return None
    try:
        _answers(model, benchmark, made(told, 1))
    except NOT_BUILT as error:
        raise UserError(f"The card tells another form of inputs than the model takes ({_reason(error)}).") from None
    return told


def samples_of(path: Path, model: ParetoModel, benchmark: Benchmark) -> Samples:
    """The samples in a file, after a model has predicted the first of them and its loss was taken with all targets.

    Raises:
        UserError: missing, damaged, or not of this model.
    """
    samples = load_samples(path, benchmark.convert)
    try:
        first = samples.batch(torch.arange(1))[0]
        numbers = sum(tensor.numel() for tensor in tensors(first))
        if numbers > MOST_NUMBERS:
            raise UserError(f"an input has {numbers:,} numbers, more than {MOST_NUMBERS:,}")
        with torch.inference_mode():
            _check_targets(samples, benchmark.tasks, _answers(model, benchmark, first))
    except NOT_BUILT as error:
        raise UserError(
            f"The samples {path} are not of this model ({_reason(error)}); copy the model folder again."
        ) from None
    return samples


def _answers(model: ParetoModel, benchmark: Benchmark, inputs: Any) -> dict[str, Tensor]:
    """The predictions in the middle of the simplex."""
    caller = Caller(model.network, benchmark.problem().passing)
    with torch.inference_mode():
        return predictions_of(
            benchmark.tasks, caller.at(model, inputs, torch.full((model.num_tasks,), 1 / model.num_tasks))
        )


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


def _check_targets(samples: Samples, tasks: Sequence[Objective], predictions: Mapping[str, Tensor]) -> None:
    """Shapes and values of all targets, by a loss with one prediction; a large one only with the first item."""
    large = {name for name, one in predictions.items() if one.numel() > MOST_NUMBERS}
    for part in torch.arange(len(samples)).split(BATCH):
        batch = samples.batch(part)
        for task in tasks:
            if task.name in large or task.name not in predictions:
                task.check(batch)
            else:
                one = predictions[task.name]
                task.score(one.expand(len(part), *one.shape[1:]), task.target_of(batch))
    for task in (task for task in tasks if task.name in large):
        task.score(predictions[task.name], task.target_of(samples.batch(torch.arange(1))))
