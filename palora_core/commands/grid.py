"""A λ-grid of separately trained linear scalarizations, the yardstick of a controllable model.

``palora grid multimnist --points 11 --out runs/ls-grid`` trains one network per λ (finished ones are kept) and writes
their joint front to ``OUT/front.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from palora_core.commands.console import add_common, add_settings, settings
from palora_core.commands.evaluate import print_table
from palora_core.progress import Bar


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("benchmark")
    parser.add_argument("--points", type=int, default=11)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    add_settings(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> None:
    """Train what is missing, then write and print the joint front."""
    from palora_core.benchmarks.base import benchmarks
    from palora_core.evaluation.front import Front
    from palora_core.simplex import evaluation_preferences

    grid = evaluation_preferences(len(benchmarks.get(args.benchmark)().tasks), args.points)
    fronts = []
    for index, preference in enumerate(grid):
        folder = args.out / f"{index:02d}"
        train(args, folder, preference.tolist())
        fronts.append(Front.load(folder / "front.json"))
    about = {**fronts[0].about, "method": "ls", "title": f"LS grid of {len(grid)} networks"}
    front = Front.union(fronts, grid.double().numpy(), about)
    front.save(args.out / "front.json")
    print_table(front)


def train(args: argparse.Namespace, folder: Path, preference: list[float]) -> None:
    """The network of one λ, unless it is finished."""
    from palora_core.storage.runs import Run
    from palora_core.training.resuming import resume_trainer
    from palora_core.training.setup import configure
    from palora_core.training.trainer import Trainer

    bar, existing = Bar(), Run(folder)
    if (folder / "config.json").exists():
        if existing.status() != "finished":
            resume_trainer(existing, args.data, args.device, bar).resume()
    else:
        given: dict[str, Any] = {"preference": preference, "seed": args.seed, "evaluate_every": 0}
        given |= {"epochs": args.epochs} if args.epochs else {}
        bench, method, options = configure(args.benchmark, "ls", {**given, **settings(args.set)})
        Trainer(existing, bench.problem(args.data, bar), method, options, device=args.device, progress=bar).start()
    bar.close()
