"""What BatchNorm statistics per preference do: ``python scripts/batchnorm.py RUN … --out docs/results/batchnorm``.

One training serves all variants, for statistics play no part in its steps: each run's test front is evaluated with the
running averages of training, with statistics interpolated between anchors (the default), and with statistics
estimated at each evaluated λ itself. Runs of one benchmark count as seeds of one experiment.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

from _cli import Bar, data_folder, main

VARIANTS = {
    "running": "running averages of training (mixed over preferences)",
    "interpolated": "at the T corners and the centre, interpolated in λ",
    "own": "estimated at every evaluated λ",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare BatchNorm statistics on trained runs.")
    parser.add_argument("runs", type=Path, nargs="+", help="finished run folders of networks with BatchNorm")
    parser.add_argument("--points", type=int, help="preferences of each front (default: 11 for T = 2, 10 for T = 3)")
    parser.add_argument("--items", type=int, default=256, help="training items for the estimates")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, required=True, help="writes NAME.json and NAME.md")
    return parser.parse_args()


def run() -> None:
    args = arguments()
    from palora_core.storage.writing import write_json

    bar, results = Bar(), []
    for folder in args.runs:
        results.append(study(folder, args, bar))
    bar.close()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out.with_suffix(".json"), {"items": args.items, "runs": results})
    text = table(results, args.items)
    args.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def study(folder: Path, args: argparse.Namespace, bar: Callable[[str, int, int], None]) -> dict:
    """The fronts of one run under every kind of statistics."""
    import torch

    from palora_core import normalisation
    from palora_core.checkpoint import benchmark_of, load
    from palora_core.errors import UserError
    from palora_core.evaluation.evaluate import evaluate
    from palora_core.evaluation.front import Front
    from palora_core.simplex import evaluation_preferences
    from palora_core.training.feed import first_inputs

    model, card = load(folder)
    if not normalisation.batch_norms(model.network) or not model.controllable:
        raise UserError(
            f"{folder} has no BatchNorm layer or no preferences; give runs of controllable networks with BatchNorm."
        )
    benchmark = benchmark_of(card)
    splits = benchmark.load(args.data, bar)
    tasks, size = benchmark.tasks, benchmark.recipe.batch_size
    grid = evaluation_preferences(len(tasks), args.points or (11 if len(tasks) == 2 else 10))

    def batches() -> Iterator[torch.Tensor]:
        return first_inputs(splits["train"], args.items, size)

    def front(model: torch.nn.Module, preferences: torch.Tensor) -> Front:
        return evaluate(
            model, splits["test"], tasks, benchmark.reference, preferences, benchmark.recipe.eval_batch_size
        )

    fronts = {}
    plain = copy.deepcopy(model)
    normalisation.use_running(plain)
    fronts["running"] = front(plain, grid)
    bar(folder.name, 1, 3)
    normalisation.calibrate(model, batches)
    fronts["interpolated"] = front(model, grid)
    bar(folder.name, 2, 3)
    singles = []
    for preference in grid:
        normalisation.calibrate_for(model, preference, batches)
        singles.append(front(model, preference[None]))
    fronts["own"] = Front.union(singles, grid.double().numpy(), {})
    bar(folder.name, 3, 3)
    return {
        "benchmark": card["benchmark"]["name"],
        "title": card["title"],
        "seed": card["training"]["seed"],
        "tasks": [task.name for task in tasks],
        "variants": {name: figures(f) for name, f in fronts.items()},
    }


def table(results: list[dict], items: int) -> str:
    """Markdown: mean ± standard deviation over the runs of each benchmark."""
    lines = ["# BatchNorm statistics per preference", ""]
    lines += [
        f"Test fronts of the same weights under three kinds of statistics ({items} training items for the estimates):",
        "",
    ]
    lines += [f"- **{name}**: {text}" for name, text in VARIANTS.items()]
    for name in dict.fromkeys(result["benchmark"] for result in results):
        rows = [result for result in results if result["benchmark"] == name]
        tasks, first = rows[0]["tasks"], rows[0]["variants"]["running"]
        reference = ", ".join(f"{value:g}" for value in first["reference"])
        seeds = ", ".join(str(result["seed"]) for result in rows)
        lines += [
            "",
            f"## {name}",
            "",
            f"{rows[0]['title']}, seeds {seeds}, {first['points']} preferences, hypervolume reference ({reference}).",
            "",
        ]
        heads = [
            "hypervolume",
            "non-dominated",
            *(f"Spearman {t}" for t in tasks),
            *(f"best {t} loss" for t in tasks),
            *(f"{t} loss at its corner" for t in tasks),
        ]
        lines += ["| statistics | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
        for variant in VARIANTS:
            columns = [summary(result["variants"][variant]) for result in rows]
            lines.append(f"| {variant} | " + " | ".join(spread(column) for column in zip(*columns)) + " |")
    return "\n".join(lines) + "\n"


def figures(front) -> dict:
    """What the study keeps of one front; ``corner_loss`` is L_t where λ_t is largest."""
    corners = front.objectives[front.preferences.argmax(0), range(len(front.tasks))]
    return {**front.summary(), "corner_loss": corners.tolist(), "objectives": front.objectives.tolist()}


def summary(variant: dict) -> list[float]:
    """One row of the table."""
    keys = ("spearman", "best_loss", "corner_loss")
    return [variant["hypervolume"], variant["nondominated"], *(value for key in keys for value in variant[key])]


def spread(values: tuple[float, ...]) -> str:
    """Mean ± sample standard deviation."""
    deviation = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4g}{deviation}"


if __name__ == "__main__":
    main(run)
