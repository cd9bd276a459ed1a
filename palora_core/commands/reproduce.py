"""Train methods × seeds on a benchmark and write the table: ``palora reproduce multimnist --seeds 0 1 2``.

``stl`` stands for one run per task; with it the table has Δm, the mean loss against single-task learning. Runs that are
finished are kept, unfinished ones resumed, so the command may be stopped and started again at will.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from palora_core.commands.console import (
    PARTS,
    add_common,
    add_settings,
    settings,
    start_training,
    training_words,
)
from palora_core.commands.reproduce_table import single_tasks, write_table
from palora_core.errors import UserError
from palora_core.progress import Bar

if TYPE_CHECKING:
    from palora_core.benchmarks.base import Benchmark


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("benchmark")
    parser.add_argument(
        "--methods", nargs="+", help="default: every registered method; name:key=value+key=value varies one"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="training processes at once")
    runs = Path(os.environ.get("PALORA_RUNS") or "runs")
    parser.add_argument("--out", type=Path, default=runs / "reproduce", help="folder of the runs")
    parser.add_argument("--table", type=Path, help="write NAME.json and NAME.md here")
    parser.add_argument("--ship", type=Path, help="copy the finished models here, as a collection for the dashboard")
    parser.add_argument("--ship-megabytes", type=float, default=4, help="weights above this size stay where they are")
    add_settings(parser, "for every method")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Train what is missing, then write the table."""
    from palora_core.methods.base import methods
    from palora_core.storage.runs import Run

    named = args.methods or methods.names()
    tasks = len(configured(args, named[0]).tasks)
    wanted = [part for method in named for part in single_tasks(method, tasks)]
    for method in wanted:
        configured(args, method)
    plan = [(method, seed) for seed in args.seeds for method in wanted]
    folders = {(m, s): args.out / args.benchmark / f"{folder_name(m)}-s{s}" for m, s in plan}
    waiting = [key for key in plan if Run(folders[key]).status() != "finished"]
    active: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
    bar, total, failed = Bar(), len(plan), []
    while waiting or active:
        while waiting and len(active) < args.jobs:
            key = waiting.pop(0)
            active[key] = start(args, *key, folders[key])
        for key, process in list(active.items()):
            if process.poll() is not None:
                del active[key]
                failed += [key] if process.returncode else []
        bar("runs", total - len(waiting) - len(active), total)
        time.sleep(0.2)
    bar.close()
    for method, seed in failed:
        print(f"failed: {method} seed {seed}, see {folders[method, seed]}/log.txt", file=sys.stderr)
    write_table(args, wanted, folders)
    if args.ship:
        ship(args, folders)
    return 1 if failed else 0


def ship(args: argparse.Namespace, folders: dict[tuple[str, int], Path]) -> None:
    """Copy card, front and weights of every finished run, and the samples of the one that λ steers best for all."""
    from palora_core.evaluation.front import Front
    from palora_core.storage.runs import Run

    steered: dict[Path, float] = {}

    for key, folder in folders.items():
        if Run(folder).status() != "finished":
            continue
        size = (folder / "model.safetensors").stat().st_size / 1e6
        if size > args.ship_megabytes:
            print(f"not shipped: {key[0]} seed {key[1]} has {size:.0f} MB of weights", file=sys.stderr)
            continue
        target = args.ship / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for name in ("card.json", "front.json", "model.safetensors"):
            shutil.copyfile(folder / name, target / name)
        front = Front.load(folder / "front.json")
        steered[folder] = front.hypervolume() if front.effects else -1.0
    best = max(steered, key=lambda folder: steered[folder], default=args.out)
    if (best / "samples.npz").is_file():
        shutil.copyfile(best / "samples.npz", args.ship / "samples.npz")


def folder_name(method: str) -> str:
    """A method with its variation as the beginning of a folder's name."""
    return method.replace(":", "-").replace("=", "").replace("+", "-").replace(".", "_")


def split_method(method: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """``name:key=value+key=value`` as name, parts and settings."""
    name, _, variation = method.partition(":")
    given = [pair for pair in variation.split("+") if pair]
    if not all("=" in pair for pair in given):
        raise UserError(f"--methods takes NAME or NAME:option=value+option=value, found {method!r}.")
    pairs = settings(given)
    return name, {k: v for k, v in pairs.items() if k in PARTS}, {k: v for k, v in pairs.items() if k not in PARTS}


def configured(args: argparse.Namespace, method: str) -> Benchmark:
    """The benchmark as a method is to learn it; refuses at once what a run would refuse."""
    from palora_core.training.setup import configure

    name, parts, own = split_method(method)
    return configure(args.benchmark, name, {**settings(args.set), **own}, parts)[0]


def start(args: argparse.Namespace, method: str, seed: int, folder: Path) -> subprocess.Popen[bytes]:
    """The process that trains one run, or goes on with it."""
    name, parts, own = split_method(method)
    words = training_words(args, folder, name, seed, {**parts, **own})
    each = str(max(1, (os.cpu_count() or 1) // args.jobs))
    share = {"OMP_NUM_THREADS": each} if args.jobs > 1 and "OMP_NUM_THREADS" not in os.environ else {}
    return start_training(words, folder, **share)
