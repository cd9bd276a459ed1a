"""Train a grid of settings: ``python scripts/sweep.py ablation --benchmark multimnist --out DIR`` (§5.5 of the paper).

Any other grid: ``python scripts/sweep.py grid --benchmark NAME --param rank=1,2,4 --param alpha=1,5 --out DIR``. The
same command on other machines, or again, joins in or goes on. Writes results.json and figures.html below DIR.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
from pathlib import Path

from _cli import DEFAULT_DATA, PARTS, ROOT, main


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a grid of settings, alone or with other workers.")
    parser.add_argument("kind", choices=("ablation", "grid"))
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--method", default="palora")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=A,B,…", help="grid: values to try")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for every run")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, help="most runs that this worker trains (default: until none is left)")
    parser.add_argument("--jobs", type=int, default=1, help="workers to start here")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="folder shared by all workers")
    return parser.parse_args()


def run() -> int:
    args = arguments()
    from palora_core.errors import UserError
    from palora_core.sweeps import Sweep, ablation, grid, parse_parameters

    if args.kind == "grid" and not args.param:
        raise UserError("A grid needs values to try, for example --param rank=1,2,4.")
    points = ablation() if args.kind == "ablation" else grid(parse_parameters(args.param))
    sweep = Sweep(args.out, points, functools.partial(train, args))
    # sys.argv again, with one job: each worker is a process that another machine could have started as well.
    others = [subprocess.Popen([sys.executable, *sys.argv, "--jobs", "1"]) for _ in range(args.jobs - 1)]
    done = sweep.work(args.trials)
    failed = [process.returncode for process in others if process.wait()]
    path, finished, broken = sweep.save_results(), len(sweep.results()), sweep.failed()
    print(f"{done} runs trained here, {finished} of {len(points)} finished: {path}")
    for folder in broken:
        print(f"failed: see {folder}/log.txt", file=sys.stderr)
    if finished:
        draw(path)
    return 1 if failed or broken else 0


def train(args: argparse.Namespace, point: dict[str, str], folder: Path) -> int:
    """Train one point with scripts/train.py, or go on with its run."""
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--out", str(folder)]
    command += ["--data", str(args.data), "--device", args.device]
    if (folder / "config.json").exists():
        command.append("--resume")
    else:
        command += ["--benchmark", args.benchmark, "--method", args.method, "--seed", str(args.seed)]
        command += ["--epochs", str(args.epochs)] if args.epochs else []
        command += [f"--{name}={value}" for name, value in point.items() if name in PARTS]
        settings = [*args.set, *(f"{name}={value}" for name, value in point.items() if name not in PARTS)]
        command += [word for setting in settings for word in ("--set", setting)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode


def draw(results: Path) -> None:
    try:
        from _sweep_figures import write
    except ModuleNotFoundError:
        print("no figures: they need the package plotly", file=sys.stderr)
        return
    print(f"figures: {write(results)}")


if __name__ == "__main__":
    main(run)
