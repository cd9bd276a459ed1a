"""A λ-grid of separately trained linear scalarizations, the yardstick of a controllable model.

``python scripts/grid.py multimnist --points 11 --out runs/ls-grid`` trains one network per λ (finished ones are kept)
and writes their joint front to ``OUT/front.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _cli import DEFAULT_DATA, Bar, main, settings


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One linear scalarization per preference of a grid.")
    parser.add_argument("benchmark")
    parser.add_argument("--points", type=int, default=11)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def run() -> None:
    args = arguments()
    from evaluate import print_table

    from palora_core.benchmarks.base import benchmarks
    from palora_core.front import Front
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
    from palora_core.runs import Run
    from palora_core.training.setup import configure, resume_trainer
    from palora_core.training.trainer import Trainer

    bar, existing = Bar(), Run(folder)
    if (folder / "config.json").exists():
        if existing.status() != "finished":
            resume_trainer(existing, args.data, args.device, bar).resume()
    else:
        given = {"preference": preference, "seed": args.seed, "evaluate_every": 0}
        given |= {"epochs": args.epochs} if args.epochs else {}
        bench, method, options = configure(args.benchmark, "ls", {**given, **settings(args.set)})
        Trainer(existing, bench, method, options, args.data, args.device, bar).start()
    bar.close()


if __name__ == "__main__":
    main(run)
