"""Files of checkpoints or adapters → a model folder with front and samples, as training leaves one."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from palora_core import checkpoint
from palora_core.benchmarks.base import Benchmark, benchmarks
from palora_core.conditioning.lowrank import LowRankModel
from palora_core.data import LoaderSplit, Part, indexable
from palora_core.errors import UserError, quoted
from palora_core.evaluation.effects import by_item
from palora_core.evaluation.evaluate import evaluate, live_network
from palora_core.evaluation.front import Front
from palora_core.merging.checkpoints import from_checkpoints
from palora_core.merging.loras import from_loras
from palora_core.merging.peft_folders import CONFIG
from palora_core.normalisation import batch_norms
from palora_core.problem import Problem
from palora_core.sources import Source, in_turn
from palora_core.storage.cards import OWN
from palora_core.storage.samples import save_samples
from palora_core.storage.writing import sha256
from palora_core.training.feed import first_inputs
from palora_core.training.options import TrainingOptions
from palora_core.training.start import load_start

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class MergeRequest:
    """What is to be merged, for which benchmark.

    Attributes:
        benchmark: whose network all parts are of, with its options.
        parts: T files or folders in the order of the objectives; at λ_t = 1 the model is part t.
        names: what the parts are called in the card; by default as the files.
        base: a checkpoint that all of them were fine-tuned from; None for their mean, or, of adapters, for the weights
            that the network itself comes with.
        rank: see :func:`palora_core.merging.checkpoints.from_checkpoints`; so are the next two.
        error: as there.
        align: as there.
        data: data root.
        items: test items for the front at most; 0 for all.
    """

    benchmark: Benchmark
    parts: Sequence[Path]
    names: Sequence[str] = ()
    base: Path | None = None
    rank: int | None = None
    error: float | None = None
    align: str = "none"
    data: Path = Path()
    items: int = 0


def merge_folder(request: MergeRequest, out: Path, progress: Progress | None = None) -> list[str]:
    """Write the model folder; returns what a person should know: statistics that are only near, data not at hand.

    Raises:
        UserError: parts that are not one per objective, or do not belong to the benchmark's network.
    """
    benchmark = request.benchmark
    problem = benchmark.problem(request.data, progress)
    objectives = problem.objectives
    if len(request.parts) != len(objectives):
        names = ", ".join(one.name for one in objectives)
        raise UserError(
            f"{benchmarks.name_of(benchmark)} has {len(objectives)} objectives ({names}) and there are "
            f"{len(request.parts)} parts; give one for each, in this order."
        )
    test, missing = _at_hand(problem, "test", request.items)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model = _merged(request, problem)
    notes = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    front = None
    if test is None:
        notes.append(f"The front is not evaluated: {missing}")
    else:
        front = _evaluated(model, problem, test, benchmark, progress)
        front.save(out / "front.json")
        _save_samples(model, problem, test, benchmark, out / "samples.npz")
    alone = checkpoint.rests_on_base(model)
    checkpoint.save(out, model, _card(request, problem, model, front), adapters_only=alone)
    return notes


def _at_hand(problem: Problem, split: str, items: int) -> tuple[tuple[Source, ...] | None, str]:
    """A split's sources, cut to some items each; None and why, where the data are not on this machine."""
    try:
        sources = problem.sources[split]
    except UserError as error:
        return None, str(error)
    return tuple(Source(_first(one.split, items), one.objectives) for one in sources), ""


def _first(split: Any, items: int) -> Any:
    if not items or isinstance(split, LoaderSplit) or len(split) <= items:
        return split
    return Part(split, torch.arange(items))


def _merged(request: MergeRequest, problem: Problem) -> LowRankModel:
    adapters = [(part / CONFIG).is_file() for part in request.parts]
    if any(adapters):
        if not all(adapters):
            raise UserError("Some of the parts are adapters and some are checkpoints; give parts of one kind.")
        return from_loras(_base(request, problem), list(request.parts))
    network = problem.build(pretrained=False)
    networks = [_loaded(network, part) for part in request.parts]
    base = None if request.base is None else _loaded(network, request.base)
    inputs = _inputs(problem, request.benchmark.recipe.batch_size) if batch_norms(network) else None
    options: dict[str, Any] = {"rank": request.rank, "error": request.error, "align": request.align}
    return from_checkpoints(networks, base, batches=inputs, **options)


def _base(request: MergeRequest, problem: Problem) -> nn.Module:
    """What adapters rest on: a checkpoint that is given, or the weights that the network itself comes with.

    Raises:
        UserError: neither; on weights drawn at random adapters mean nothing.
    """
    if request.base is not None:
        return _loaded(problem.build(pretrained=False), request.base)
    if not request.benchmark.network[1].get("pretrained"):
        raise UserError(
            f"The network of {benchmarks.name_of(request.benchmark)} has no weights of its own that adapters could "
            "rest on; give the checkpoint that they were trained on as the base."
        )
    return problem.build(pretrained=True)


def _inputs(problem: Problem, size: int) -> list[Any] | None:
    """Inputs of the first training items, for statistics of BatchNorm; None where they are not on this machine."""
    train, _ = _at_hand(problem, "train", count := TrainingOptions().calibration_items)
    if train is None:
        return None
    return [inputs for one in train for inputs in first_inputs(one.split, count, size)]


def _loaded(network: nn.Module, part: Path) -> nn.Module:
    """A copy of the network with the weights of a part, all of them.

    Raises:
        UserError: something is missing: a mixture with what was drawn at random is none.
    """
    own = copy.deepcopy(network)
    start = load_start(own, part)
    if start.new:
        raise UserError(
            f"{part.name} has no {quoted(start.new[0])}, which {type(network).__name__} has; a part has to hold the "
            "whole network, heads included."
        )
    return own


def _evaluated(
    model: LowRankModel, problem: Problem, test: Sequence[Source], benchmark: Benchmark, progress: Progress | None
) -> Front:
    about = {
        "benchmark": problem.name,
        "method": OWN,
        "title": "Merged",
        "split": problem.called("test"),
        "items": sum(len(one.split) for one in test),
    }
    told = None if progress is None else lambda done, total: progress("evaluating", done, total)
    size, given = benchmark.recipe.eval_batch_size, (test, problem.objectives, problem.reference, None)
    return evaluate(model, *given, size, progress=told, about=about, passing=problem.passing)


def _save_samples(
    model: LowRankModel, problem: Problem, test: Sequence[Source], benchmark: Benchmark, path: Path
) -> None:
    split = indexable(in_turn(tuple(test)))
    live = live_network(model, test, passing=problem.passing)
    changed = by_item(live, split, problem.objectives, benchmark.recipe.eval_batch_size)
    save_samples(path, split, TrainingOptions().samples, changed)


def _card(request: MergeRequest, problem: Problem, model: LowRankModel, front: Front | None) -> dict[str, Any]:
    about = problem.about
    names = list(request.names) or [part.stem for part in request.parts]
    based = request.base is not None or any((part / CONFIG).is_file() for part in request.parts)
    extra = model.num_adapter_parameters
    size = sum(parameter.numel() for parameter in model.parameters()) - extra
    parts = [
        {"name": name, **({"sha256": sha256(part)} if part.is_file() else {})}
        for name, part in zip(names, request.parts)
    ]
    return {
        "name": f"{problem.name}-merged",
        "title": f"{' + '.join(names)} on {about.title or problem.name}",
        "benchmark": {"name": problem.name, "options": dict(problem.options)},
        "method": {"name": OWN, "conditioning": {"name": model.kind}},
        "network": problem.named_network(),
        "tasks": [{"name": one.name, "kind": one.kind} for one in problem.objectives],
        "parameters": {"base": size, "extra": extra, "overhead_percent": 100 * extra / max(1, size)},
        "merged": {"parts": parts, "base": based, "align": request.align, **model.report.to_json()},
        **({"front": front.summary()} if front is not None else {}),
        "data": about.summary,
        "citation": {"benchmark": about.citation},
        "licence": about.licence,
        "limits": about.limits,
    }
