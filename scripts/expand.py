"""Pareto expansion: adapters inserted into a trained network, only they are trained; a local front through the start.

``python scripts/expand.py --from runs/ls --benchmark multimnist --out runs/expanded``

The paper's Figure 4, one expansion per α and the front after every epoch, as a picture, a film and numbers:
``python scripts/expand.py --from runs/ls --benchmark multimnist --out runs/grown --alphas 1 2 5 10 --figure grown.png``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from _cli import DEFAULT_DATA, Bar, main, settings


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pareto expansion of a plain checkpoint.")
    parser.add_argument("--from", dest="source", type=Path, required=True, help="model folder or state_dict file")
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the run folder; with --alphas, one per α below it")
    parser.add_argument("--epochs", type=int, help="default: the paper's 4")
    parser.add_argument("--alphas", type=float, nargs="+", metavar="α", help="expand once with each of these scales")
    parser.add_argument("--figure", type=Path, help="PNG of the fronts; a film (.html) and numbers (.json) beside it")
    parser.add_argument("--sampler", help="replace the annealed schedule, e.g. fixed")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any option, e.g. alpha=5")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def run() -> int:
    args = arguments()
    from train import report

    from palora_core.errors import UserError
    from palora_core.runs import Run

    given = settings(args.set)
    if args.alphas and "alpha" in given:
        raise UserError("Give --alphas or --set alpha=…, not both.")
    if args.figure and args.figure.suffix.lower() != ".png":
        raise UserError(f"--figure takes the name of a .png file, found {args.figure}.")
    folders = {alpha: args.out / f"alpha-{alpha:g}" for alpha in dict.fromkeys(args.alphas or ())} or {None: args.out}
    for alpha, folder in folders.items():
        expand(args, given if alpha is None else {**given, "alpha": alpha}, Run(folder), again=alpha is not None)
        report(Run(folder))
        if Run(folder).status() != "finished":
            return 0
    if args.figure:
        draw([Run(folder) for folder in folders.values()], args.figure)
    return 0


def expand(args: argparse.Namespace, given: dict, folder, again: bool) -> None:
    """One expansion; with ``again``, the same command goes on with what an earlier one has left."""
    from palora_core.training.setup import configure_expansion, resume_trainer
    from palora_core.training.trainer import Trainer

    bar = Bar()
    if again and (folder.folder / "config.json").exists():
        resume_trainer(folder, args.data, args.device, bar).resume()
    else:
        parts = {"sampler": args.sampler} if args.sampler else {}
        given = given if args.epochs is None else {"epochs": args.epochs, **given}
        chosen = configure_expansion(args.benchmark, args.source, given, parts)
        Trainer(folder, *chosen, args.data, args.device, bar).start()
    bar.close()


def draw(runs: list, figure: Path) -> None:
    """Picture, film and numbers of finished expansions."""
    import _expansion_figures as figures

    from palora_core.training.expansion import growth

    grown = [growth(run) for run in runs]
    figure.parent.mkdir(parents=True, exist_ok=True)
    figure.with_suffix(".json").write_text(json.dumps([one.to_json() for one in grown], indent=1) + "\n")
    figures.picture(grown, figure)
    figures.film(grown, figure.with_suffix(".html"))
    print(f"{figure}, {figure.with_suffix('.html')} and {figure.with_suffix('.json')}")


if __name__ == "__main__":
    main(run)
