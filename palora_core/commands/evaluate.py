"""Evaluate a model's front: ``palora evaluate trained_models/multimnist --split test --out front.json``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from palora_core.commands.console import add_common, target
from palora_core.progress import Bar

if TYPE_CHECKING:
    from palora_core.evaluation.front import Front


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("model", type=Path, help="a model folder or a run folder")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--points", type=int, help="number of preferences (default: 11 for two tasks, 66 for three)")
    parser.add_argument(
        "--predict",
        type=int,
        metavar="POINTS",
        help="so many preferences by quadratic functions of λ, fitted on those of --points that were evaluated",
    )
    parser.add_argument(
        "--convention", choices=("exact", "published"), default="exact", help="how metrics are averaged"
    )
    parser.add_argument("--precision", choices=("fp32", "bf16", "auto"), default="fp32")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    add_common(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate, write the front, print it."""
    from palora_core.checkpoint import benchmark_of, load
    from palora_core.evaluation.evaluate import evaluate
    from palora_core.machine import choose_device, precision_dtype
    from palora_core.simplex import evaluation_preferences

    out = target(args.out)
    model, card = load(args.model)
    device = choose_device(args.device)
    benchmark = benchmark_of(card)
    bar = Bar()
    problem = benchmark.problem(args.data, bar)
    grid = evaluation_preferences(len(problem.objectives), args.points) if args.points is not None else None
    front = evaluate(
        model.to(device),
        problem.sources[args.split],
        problem.objectives,
        problem.reference or card.get("front", {}).get("reference"),
        grid,
        benchmark.recipe.eval_batch_size,
        precision_dtype(args.precision, device),
        args.convention,
        lambda done, total: bar("evaluating", done, total),
        {
            "benchmark": card["benchmark"]["name"],
            "method": card["method"]["name"],
            "split": args.split,
            "convention": args.convention,
        },
        problem.passing,
    )
    bar.close()
    if args.predict is not None:
        front = _predicted(front, args.predict)
    front.save(out)
    print_table(front)


def _predicted(front: Front, points: int) -> Front:
    """A front of more points than were evaluated; says how far it is off at points that are left out of its fit."""
    from palora_core.evaluation.surrogate import QuadraticSurrogate
    from palora_core.simplex import evaluation_preferences

    surrogate = QuadraticSurrogate.fit(front)
    told = ", ".join(f"{name} ±{error:.2g}" for name, error in surrogate.told().items())
    print(f"{points} points predicted from {len(front.preferences)} evaluated; left-out points are missed by {told}")
    return surrogate.predict(evaluation_preferences(len(front.tasks), points).numpy())


def print_table(front: Front) -> None:
    """A line per preference, then hypervolume, non-dominated points and alignment."""
    names = list(front.metrics)
    print("  ".join([*(f"λ {task}" for task in front.tasks), *(f"loss {task}" for task in front.tasks), *names]))
    for row in range(len(front.preferences)):
        values = [*front.preferences[row], *front.objectives[row], *(front.metrics[name][row] for name in names)]
        print("  ".join(f"{value:.4f}" for value in values))
    summary = front.summary()
    reference = ", ".join(f"{value:g}" for value in summary["reference"])
    print(f"hypervolume {summary['hypervolume']:.4f} (reference {reference})")
    print(f"non-dominated {summary['nondominated']}/{summary['points']}; {summary['preferences']}")
    if "unmeasured" in summary:
        print(f"without {' and '.join(summary['unmeasured'])}: the split has no valid target of it")
    print(
        "Spearman(λ_t, L_t) " + ", ".join(f"{task} {value:.3f}" for task, value in zip(front.tasks, front.spearman()))
    )
