"""Train methods × seeds on a benchmark and write the table: ``python scripts/reproduce.py multimnist --seeds 0 1 2``.

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

from _cli import DEFAULT_DATA, PARTS, ROOT, Bar, main, settings


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train methods × seeds and write a table.")
    parser.add_argument("benchmark")
    parser.add_argument(
        "--methods", nargs="+", help="default: every registered method; name:key=value+key=value varies one"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for every method")
    parser.add_argument("--jobs", type=int, default=1, help="training processes at once")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "reproduce", help="folder of the runs")
    parser.add_argument("--table", type=Path, help="write NAME.json and NAME.md here")
    parser.add_argument("--ship", type=Path, help="copy the finished models here, as a collection for the dashboard")
    parser.add_argument("--ship-megabytes", type=float, default=4, help="weights above this size stay where they are")
    return parser.parse_args()


def run() -> int:
    args = arguments()
    from palora_core.benchmarks.base import benchmarks
    from palora_core.methods.base import methods
    from palora_core.runs import Run

    tasks = len(benchmarks.get(args.benchmark)().tasks)
    wanted = [part for method in args.methods or methods.names() for part in single_tasks(method, tasks)]
    for method in wanted:
        configured(args, method)
    plan = [(method, seed) for seed in args.seeds for method in wanted]
    folders = {(m, s): args.out / args.benchmark / f"{folder_name(m)}-s{s}" for m, s in plan}
    waiting = [key for key in plan if Run(folders[key]).status() != "finished"]
    active: dict[tuple[str, int], subprocess.Popen] = {}
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
    """Copy card, front and weights of every finished run; the samples, which are the same for all, once for all."""
    from palora_core.runs import Run

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
        shutil.copyfile(folder / "samples.npz", args.ship / "samples.npz")


def single_tasks(method: str, tasks: int) -> list[str]:
    """The runs that a method takes: ``stl`` alone is one per task."""
    return [f"stl:task={task}" for task in range(tasks)] if method == "stl" else [method]


def folder_name(method: str) -> str:
    return method.replace(":", "-").replace("=", "").replace("+", "-").replace(".", "_")


def split_method(method: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """``name:key=value+key=value`` as name, parts and settings."""
    from palora_core.errors import UserError

    name, _, variation = method.partition(":")
    given = [pair for pair in variation.split("+") if pair]
    if not all("=" in pair for pair in given):
        raise UserError(f"--methods takes NAME or NAME:option=value+option=value, found {method!r}.")
    pairs = settings(given)
    return name, {k: v for k, v in pairs.items() if k in PARTS}, {k: v for k, v in pairs.items() if k not in PARTS}


def configured(args: argparse.Namespace, method: str) -> None:
    """Refuse at once what a run would refuse."""
    from palora_core.training.setup import configure

    name, parts, own = split_method(method)
    configure(args.benchmark, name, {**settings(args.set), **own}, parts)


def start(args: argparse.Namespace, method: str, seed: int, folder: Path) -> subprocess.Popen:
    name, parts, own = split_method(method)
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--out", str(folder)]
    command += ["--data", str(args.data), "--device", args.device]
    if (folder / "config.json").exists():
        command.append("--resume")
    else:
        command += ["--benchmark", args.benchmark, "--method", name, "--seed", str(seed)]
        command += [f"--{part}={entry}" for part, entry in parts.items()]
        command += ["--epochs", str(args.epochs)] if args.epochs else []
        command += [word for pair in [*args.set, *(f"{k}={v}" for k, v in own.items())] for word in ("--set", pair)]
    folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if args.jobs > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.jobs)))
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
        )


def write_table(args: argparse.Namespace, wanted: list[str], folders: dict[tuple[str, int], Path]) -> None:
    from palora_core.benchmarks.base import benchmarks
    from palora_core.errors import UserError
    from palora_core.files import read_json, write_json
    from palora_core.machine import describe
    from palora_core.runs import Run
    from palora_core.tables import Result, baseline_of, joined, markdown, paper_table, row

    benchmark = benchmarks.get(args.benchmark)()
    results: dict[str, list[Result]] = {}
    for method in wanted:
        done = [folders[method, seed] for seed in args.seeds if Run(folders[method, seed]).status() == "finished"]
        results |= {method: [Result.read(folder) for folder in done]} if done else {}
    baseline, rows = None, []
    singles = single_tasks("stl", len(benchmark.tasks))
    # A seed counts where every task's network is finished.
    by_seed = [{run.card["training"]["seed"]: run for run in results.get(name, [])} for name in singles]
    complete = [joined([by[seed] for by in by_seed]) for seed in args.seeds if all(seed in by for by in by_seed)]
    if complete:
        baseline = baseline_of(complete, benchmark)
        rows.append(row(complete, benchmark, baseline))
        results = {method: done for method, done in results.items() if method not in singles}
    for method, done in results.items():
        entry = row(done, benchmark, baseline)
        variation = method.partition(":")[2]
        rows.append({**entry, "title": f"{entry['title']} ({variation})" if variation else entry["title"]})
    if not rows:
        raise UserError(f"No run of {args.benchmark} is finished; see the log.txt of each below {args.out}.")
    # As in the paper: single-task learning, methods with one solution, methods with a front.
    rows.sort(key=lambda entry: (entry["method"] != "stl", entry["controllable"], -entry["hypervolume"]["mean"]))
    columns = [("hypervolume", "HV (loss)", 1, 4)]
    columns += [("metric_hypervolume", "HV (metric, ref. 0)", 1, 4)] if "metric_hypervolume" in rows[0] else []
    for task in benchmark.tasks:
        columns.append((f"best {task.name}/loss", f"{task.name} loss", 1, 4))
    columns += [("nondominated", "non-dominated", 1, 1), ("overhead_percent", "extra parameters %", 1, 2)]
    columns += [("parameters", "parameters", 1, 0), ("seconds", "training s", 1, 0), ("runs", "seeds", 1, 0)]
    rows = [{**entry, "runs": len(entry["seeds"])} for entry in rows]
    training = (complete or next(iter(results.values())))[0].card["training"]
    first = (
        f"# {benchmark.title}, by method\n\n{training['epochs']} epochs of batch {training['batch_size']} on "
        f"{training['train_items']:,} items, Adam {training['lr']:g}. Best of each metric over λ, as in the paper's "
        "tables; mean ± standard deviation over seeds. Training seconds are wall time beside whatever else ran.\n\n"
    )
    text = first + paper_table(rows, benchmark) + "\n" + markdown(rows, columns)
    published = ROOT / "docs" / "published" / f"{args.benchmark}.json"
    if published.exists():
        data = read_json(published, "published results")
        known = [column for column in columns if any(column[0] in entry for entry in data["rows"])]
        text += f"\n## Published\n\n{data['source']} {data['note']}\n\n{markdown(data['rows'], known)}"
    print(text)
    if args.table:
        args.table.parent.mkdir(parents=True, exist_ok=True)
        args.table.with_suffix(".md").write_text(text)
        data = {"benchmark": args.benchmark, "machine": describe(), "rows": rows}
        write_json(args.table.with_suffix(".json"), data)


if __name__ == "__main__":
    main(run)
