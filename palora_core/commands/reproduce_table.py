"""The table of ``palora reproduce``: what each method reached, over seeds, beside what is published."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palora_core.commands.studio import home
from palora_core.errors import UserError

if TYPE_CHECKING:
    from palora_core.benchmarks.base import Benchmark
    from palora_core.evaluation.tables import Result

Row = dict[str, Any]
Columns = list[tuple[str, str, float, int]]


def single_tasks(method: str, tasks: int) -> list[str]:
    """The runs that a method takes: ``stl`` alone is one per task."""
    return [f"stl:task={task}" for task in range(tasks)] if method == "stl" else [method]


def write_table(args: argparse.Namespace, wanted: list[str], folders: Mapping[tuple[str, int], Path]) -> None:
    """Print the table of the finished runs; with ``--table`` also write it as Markdown and JSON.

    Raises:
        UserError: none is finished.
    """
    from palora_core.checkpoint import benchmark_of
    from palora_core.machine import describe
    from palora_core.storage.writing import write_json

    results = _finished(args.seeds, wanted, folders)
    if not results:
        raise UserError(f"No run of {args.benchmark} is finished; see the log.txt of each below {args.out}.")
    benchmark = benchmark_of(next(iter(results.values()))[0].card)
    rows = _rows(args.seeds, results, benchmark)
    training = next(iter(results.values()))[0].card["training"]
    text = _text(rows, training, benchmark) + _published(args.benchmark, _columns(rows, benchmark))
    print(text)
    if args.table:
        args.table.parent.mkdir(parents=True, exist_ok=True)
        args.table.with_suffix(".md").write_text(text)
        data = {"benchmark": args.benchmark, "machine": describe(), "rows": rows}
        write_json(args.table.with_suffix(".json"), data)


def _finished(seeds: list[int], wanted: list[str], folders: Mapping[tuple[str, int], Path]) -> dict[str, list[Result]]:
    """The finished runs of every method."""
    from palora_core.evaluation.tables import Result
    from palora_core.storage.runs import Run

    done = {method: [folders[method, seed] for seed in seeds] for method in wanted}
    found = {method: [f for f in own if Run(f).status() == "finished"] for method, own in done.items()}
    return {method: [Result.read(folder) for folder in own] for method, own in found.items() if own}


def _rows(seeds: list[int], results: Mapping[str, list[Result]], benchmark: Benchmark) -> list[Row]:
    """A row per method; as in the paper: single-task learning, methods with one solution, methods with a front."""
    from palora_core.evaluation.tables import baseline_of, joined, row
    from palora_core.tasks import Task

    singles = single_tasks("stl", len(benchmark.tasks))
    # A seed counts where every task's network is finished.
    by_seed = [{run.card["training"]["seed"]: run for run in results.get(name, [])} for name in singles]
    complete = [joined([by[seed] for by in by_seed]) for seed in seeds if all(seed in by for by in by_seed)]
    # Δm is a mean of relative changes: of a gap that one network brings to 0 there are none.
    supervised = all(isinstance(task, Task) for task in benchmark.tasks)
    baseline = baseline_of(complete, benchmark) if complete and supervised else None
    rows = [row(complete, benchmark, baseline)] if complete else []
    for method, done in results.items():
        if complete and method in singles:
            continue
        entry, variation = row(done, benchmark, baseline), method.partition(":")[2]
        rows.append({**entry, "title": f"{entry['title']} ({variation})" if variation else entry["title"]})
    rows.sort(key=lambda entry: (entry["method"] != "stl", entry["controllable"], -entry["hypervolume"]["mean"]))
    return [{**entry, "runs": len(entry["seeds"])} for entry in rows]


def _columns(rows: list[Row], benchmark: Benchmark) -> Columns:
    columns: Columns = [
        (f"figure {one.name}", f"{one.label} {one.unit}", 100 if one.unit == "%" else 1, 2)
        for one in benchmark.questions
    ]
    columns += [("hypervolume", "HV (loss)", 1, 4)]
    columns += [("metric_hypervolume", "HV (metric, ref. 0)", 1, 4)] if "metric_hypervolume" in rows[0] else []
    columns += [(f"best {task.name}/loss", f"{task.name} loss", 1, 4) for task in benchmark.tasks]
    columns += [("nondominated", "non-dominated", 1, 1), ("overhead_percent", "extra parameters %", 1, 2)]
    return [*columns, ("parameters", "parameters", 1, 0), ("seconds", "training s", 1, 0), ("runs", "seeds", 1, 0)]


def _text(rows: list[Row], training: Mapping[str, Any], benchmark: Benchmark) -> str:
    from palora_core.evaluation.tables import markdown, paper_table

    first = (
        f"# {benchmark.title}{_changed(benchmark)}, by method\n\n"
        f"{training['epochs']} epochs of batch {training['batch_size']} on {training['train_items']:,} items, Adam "
        f"{training['lr']:g}. Best of each metric over λ, as in the paper's tables; mean ± standard deviation "
        "over seeds. Training seconds are wall time beside whatever else ran.\n\n"
    )
    return first + paper_table(rows, benchmark) + "\n" + markdown(rows, _columns(rows, benchmark))


def _changed(benchmark: Benchmark) -> str:
    """The options that are not the benchmark's own, in brackets."""
    pairs = {f.name: (getattr(benchmark, f.name), getattr(type(benchmark)(), f.name)) for f in fields(benchmark)}
    changed = [f"{name}={value}" for name, (value, default) in pairs.items() if value != default]
    return f" ({', '.join(changed)})" if changed else ""


def _published(benchmark: str, columns: Columns) -> str:
    """The published results of a benchmark, where we have them."""
    from palora_core.evaluation.tables import markdown
    from palora_core.storage.reading import read_json

    path = (home() or Path()) / "docs" / "published" / f"{benchmark}.json"
    if not path.is_file():
        return ""
    data = read_json(path, "published results")
    known = [column for column in columns if any(column[0] in entry for entry in data["rows"])]
    return f"\n## Published\n\n{data['source']} {data['note']}\n\n{markdown(data['rows'], known)}"
