"""How much λ changes the predictions of models, and their samples by it: ``palora effect trained_models/rooms``.

Training does this at its end; the command does it again for models that are there: fronts and cards get the effect,
cards the form of the inputs, and samples are chosen by :func:`palora_core.evaluation.effects.by_item`'s rule. A folder
of several models shares its samples; they are chosen for the one that λ steers to the largest hypervolume.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palora_core.commands.console import add_common
from palora_core.errors import UserError
from palora_core.progress import Bar

if TYPE_CHECKING:
    from palora_core.evaluation.front import Front
    from palora_core.problem import Problem


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("folders", type=Path, nargs="+", help="model folders, or folders of several models")
    parser.add_argument(
        "--samples", type=int, help="how many (default: as many as there are, or training's default; 0: none travels)"
    )
    add_common(parser)


def run(args: argparse.Namespace) -> None:
    """Measure all models, then write."""
    bar = Bar()
    problems = cache(lambda benchmark: _problem(json.loads(benchmark), args.data, bar))
    for folder in args.folders:
        together = not (folder / "card.json").is_file()
        members = sorted(path.parent for path in folder.glob("*/card.json")) if together else [folder]
        if not members:
            raise UserError(f"There is no model in {folder}; expected a folder with a card.json, or folders with one.")
        found = [_measure(member, problems, args.device) for member in members]
        steered = [one for one in found if one[1].effects] or found[:1]
        _, _, write = max(steered, key=lambda one: one[1].hypervolume())
        write(folder / "samples.npz", _count(folder / "samples.npz") if args.samples is None else args.samples)
    bar.close()


def _problem(benchmark: dict[str, Any], data: Path, bar: Bar) -> Problem:
    from palora_core.checkpoint import benchmark_of

    return benchmark_of({"benchmark": benchmark}).problem(data, bar)


def _measure(folder: Path, problems: Any, device: str) -> tuple[Path, Front, Any]:
    """Write the effect into front and card; the model's folder, its front, and what writes samples for it."""
    import torch

    from palora_core import checkpoint
    from palora_core.data import indexable
    from palora_core.evaluation.effects import by_item, effects
    from palora_core.evaluation.evaluate import live_network
    from palora_core.evaluation.front import Front
    from palora_core.machine import choose_device
    from palora_core.sources import in_turn
    from palora_core.storage.examples import described
    from palora_core.storage.reading import SMALL, read_json
    from palora_core.storage.writing import write_json

    model, card = checkpoint.load(folder)
    model = model.to(choose_device(device))
    problem: Problem = problems(json.dumps(card["benchmark"], sort_keys=True))
    size = checkpoint.benchmark_of(card).recipe.eval_batch_size
    sources = problem.sources["test"]
    live = live_network(model, sources, passing=problem.passing)
    found = effects(live, sources, problem.objectives, size) if model.controllable else {}
    front = replace(Front.load(folder / "front.json"), effects=found)
    front.save(folder / "front.json")
    raw = read_json(folder / "card.json", "model card", SMALL)
    split = indexable(in_turn(sources))
    example = described(split.batch(torch.arange(1))[0])
    told = {"example": example} if example else {}
    write_json(folder / "card.json", {**raw, **told, "front": {**raw.get("front", {}), "effect": front.effect()}})
    print(f"{folder.name}: {_told(front, problem) or 'λ changes nothing'}")
    changed = partial(by_item, live, split, problem.objectives, size) if model.controllable else None
    return folder, front, partial(_write, changed, split)


def _write(changed: Any, split: Any, path: Path, count: int) -> None:
    from palora_core.storage.samples import save_samples

    save_samples(path, split, count, changed() if changed else None)


def _count(path: Path) -> int:
    """As many samples as there are, and not fewer than training keeps."""
    from palora_core.storage.samples import load_samples
    from palora_core.training.options import TrainingOptions

    usual = TrainingOptions().samples
    return max(usual, len(load_samples(path, None))) if path.is_file() else usual


def _told(front: Front, problem: Problem) -> str:
    """ "depth by 12.3 %, normals by 8.1 °" for people."""
    from palora_core.tasks import Task

    tasks = [one for one in problem.objectives if isinstance(one, Task) and one.name in front.effects]
    return ", ".join(f"{task.name} {task.effect_told(front.effects[task.name])}" for task in tasks)
