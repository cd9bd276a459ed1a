"""Pareto expansion: adapters inserted into a trained network, only they are trained; a local front through the start.

``palora expand --from runs/ls --benchmark multimnist --out runs/expanded``

The paper's Figure 4, one expansion per α and the front after every epoch, as a picture, a film and numbers:
``palora expand --from runs/ls --benchmark multimnist --out runs/grown --alphas 1 2 5 10 --figure grown.png``
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palora_core.commands.console import add_common, add_settings, settings
from palora_core.commands.studio import draw
from palora_core.commands.train import report, say_start
from palora_core.errors import UserError
from palora_core.progress import Bar

if TYPE_CHECKING:
    from palora_core.storage.runs import Run


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("--from", dest="source", type=Path, required=True, help="model folder or state_dict file")
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the run folder; with --alphas, one per α below it")
    parser.add_argument("--alphas", type=float, nargs="+", metavar="α", help="expand once with each of these scales")
    parser.add_argument("--figure", type=Path, help="PNG of the fronts; a film (.html) and numbers (.json) beside it")
    parser.add_argument("--sampler", help="replace the annealed schedule, e.g. fixed")
    add_settings(parser, "any option, e.g. alpha=5; unless given, four epochs as in the paper")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """One expansion, or one per α, and their figure."""
    from palora_core.storage.runs import Run

    given: dict[str, Any] = settings(args.set)
    if args.alphas and "alpha" in given:
        raise UserError("Give --alphas or --set alpha=…, not both.")
    if args.figure and args.figure.suffix.lower() != ".png":
        raise UserError(f"--figure takes the name of a .png file, found {args.figure}.")
    folders = {alpha: args.out / f"alpha-{alpha:g}" for alpha in dict.fromkeys(args.alphas or ())} or {None: args.out}
    for alpha, folder in folders.items():
        expand(args, given if alpha is None else {**given, "alpha": alpha}, Run(folder), again=alpha is not None)
        report(Run(folder), args.program.replace("expand", "train"))
        if Run(folder).status() != "finished":
            return 0
    if args.figure:
        figure([Run(folder) for folder in folders.values()], args.figure)
    return 0


def expand(args: argparse.Namespace, given: dict[str, Any], folder: Run, again: bool) -> None:
    """One expansion; with ``again``, the same command goes on with what an earlier one has left."""
    from palora_core.training.resuming import resume_trainer
    from palora_core.training.setup import configure_expansion
    from palora_core.training.trainer import Trainer

    bar = Bar()
    if again and (folder.folder / "config.json").exists():
        resume_trainer(folder, args.data, args.device, bar).resume()
    else:
        parts = {"sampler": args.sampler} if args.sampler else {}
        given = given if args.epochs is None else {"epochs": args.epochs, **given}
        bench, method, options = configure_expansion(args.benchmark, args.source, given, parts)
        trainer = Trainer(folder, bench.problem(args.data, bar), method, options, device=args.device, progress=bar)
        say_start(trainer)
        trainer.start()
    bar.close()


def figure(runs: list[Run], path: Path) -> None:
    """Numbers, picture and film of finished expansions."""
    from palora_core.storage.writing import write_json
    from palora_core.training.expansion import growth

    numbers = path.with_suffix(".json")
    write_json(numbers, [growth(run).to_json() for run in runs])
    drawn = draw("expansion_figures", numbers)
    print(f"{path}, {path.with_suffix('.html')} and {numbers}" if drawn else numbers)
