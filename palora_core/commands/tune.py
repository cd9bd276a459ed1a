"""Tune every method under one budget: ``palora tune fairness --trials 8 --out runs/tuned --table docs/results/NAME``.

The learning rate and the options that a method's paper calls decisive are chosen by the hypervolume on the validation
split, with the same number of trials for each method; then the chosen settings are trained with all seeds and make the
table, as ``palora reproduce`` does. Stopped and started again, or started on other machines, it goes on.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

from palora_core.commands import reproduce
from palora_core.commands.console import add_common, add_settings, settings, start_training, training_words
from palora_core.errors import UserError
from palora_core.storage.writing import write_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("benchmark")
    parser.add_argument("--methods", nargs="+", help="default: every registered method but stl, which has no front")
    parser.add_argument("--trials", type=int, default=8, help="per method, the published setting among them")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="of the chosen settings")
    parser.add_argument("--jobs", type=int, default=1, help="training processes at once, of the chosen settings")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trials and runs")
    parser.add_argument("--table", type=Path, help="write NAME.json and NAME.md here")
    add_settings(parser, "for every run")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Try, choose, write ``tuned.json``, then train the chosen settings."""
    from palora_core.methods.base import methods
    from palora_core.training.setup import configure

    if args.trials < 1:
        raise UserError(f"--trials must be at least 1, found {args.trials}.")
    named = args.methods or [name for name in methods.names() if name != "stl"]
    lrs = {name: configure(args.benchmark, name, settings(args.set))[2].lr for name in named}
    found = {name: _tuned(args, name, lrs[name]) for name in named}
    told = {"format": 1, "benchmark": args.benchmark, "trials": args.trials, "methods": found}
    write_json(args.out / "tuned.json", told)
    for name, one in found.items():
        listed = ", ".join(f"{key}={value}" for key, value in one["settings"].items())
        print(f"{name}: {listed}; validation {one['validation']:.4f}, as published {one['published']:.4f}")
    if not args.seeds:
        return 0
    words = ["+".join(f"{key}={value}" for key, value in one["settings"].items()) for one in found.values()]
    args.methods = [f"{name}:{variation}" for name, variation in zip(found, words)]
    args.ship = None
    return reproduce.run(args)


def _tuned(args: argparse.Namespace, method: str, lr: float) -> dict[str, Any]:
    """The best of a method's trials."""
    from palora_core.sweeps import Sweep
    from palora_core.tuning import chosen, trials, validation_score

    train = functools.partial(_train, args, method)
    sweep = Sweep(args.out / "trials" / method, trials(method, lr, args.trials), train, score=validation_score)
    sweep.work()
    sweep.save_results()
    return chosen(sweep.results(), lr)


def _train(args: argparse.Namespace, method: str, point: dict[str, str], folder: Path) -> int:
    return start_training(training_words(args, folder, method, 0, point), folder).wait()
