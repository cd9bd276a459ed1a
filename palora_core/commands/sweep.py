"""Train a grid of settings: ``palora sweep ablation --benchmark multimnist --out DIR`` (§5.5 of the paper).

Any other grid: ``palora sweep grid --benchmark NAME --param rank=1,2,4 --param alpha=1,5 --out DIR``. The same command
on other machines, or again, joins in or goes on. Writes results.json and figures.html below DIR.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
from pathlib import Path

from palora_core.children import environment
from palora_core.commands.console import add_common, add_settings, palora, start_training, training_words
from palora_core.commands.studio import draw
from palora_core.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("kind", choices=("ablation", "grid"))
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--method", default="palora")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=A,B,…", help="grid: values to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, help="most runs that this worker trains (default: until none is left)")
    parser.add_argument("--jobs", type=int, default=1, help="workers to start here")
    parser.add_argument("--out", type=Path, required=True, help="folder shared by all workers")
    parser.add_argument(
        "--storage",
        default=os.environ.get("PALORA_STORAGE", ""),
        metavar="URL",
        help="a database for the study (postgresql://…) in place of a file below --out; or $PALORA_STORAGE",
    )
    add_settings(parser, "for every run")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Work through the grid, then write results and figures."""
    from palora_core.sweeps import Sweep, ablation, grid, parse_parameters

    if args.kind == "grid" and not args.param:
        raise UserError("A grid needs values to try, for example --param rank=1,2,4.")
    points = ablation() if args.kind == "ablation" else grid(parse_parameters(args.param))
    sweep = Sweep(args.out, points, functools.partial(train, args), args.storage)
    # The same command with one job: each worker is a process that another machine could have started as well.
    worker = palora("sweep", *args.argv, "--jobs", "1")
    others = [subprocess.Popen(worker, env=environment()) for _ in range(args.jobs - 1)]
    done = sweep.work(args.trials)
    failed = [process.returncode for process in others if process.wait()]
    path, finished, broken = sweep.save_results(), len(sweep.results()), sweep.failed()
    print(f"{done} runs trained here, {finished} of {len(points)} finished: {path}")
    for folder in broken:
        print(f"failed: see {folder}/log.txt", file=sys.stderr)
    if finished and draw("sweep_figures", path):
        print(f"figures: {path.with_name('figures.html')}")
    return 1 if failed or broken else 0


def train(args: argparse.Namespace, point: dict[str, str], folder: Path) -> int:
    """Train one point in a process of its own, or go on with its run; the exit status."""
    return start_training(training_words(args, folder, args.method, args.seed, point), folder).wait()
