"""Pareto expansion: adapters inserted into a trained network, only they are trained; a local front through the start.

``python scripts/expand.py --from runs/ls --benchmark multimnist --out runs/expanded``
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _cli import DEFAULT_DATA, Bar, main, settings

# Epochs of the paper's expansions; other benchmarks take those of their kind.
EPOCHS = 4


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pareto expansion of a plain checkpoint.")
    parser.add_argument("--from", dest="source", type=Path, required=True, help="model folder or state_dict file")
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the run folder")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any option, e.g. alpha=5")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def run() -> int:
    args = arguments()
    from train import report

    from palora_core.runs import Run
    from palora_core.setup_run import configure_expansion
    from palora_core.trainer import Trainer

    bar = Bar()
    bench, method, options = configure_expansion(
        args.benchmark, args.source, {"epochs": args.epochs, **settings(args.set)}
    )
    folder = Run(args.out)
    Trainer(folder, bench, method, options, args.data, args.device, bar).start()
    bar.close()
    return report(folder)


if __name__ == "__main__":
    main(run)
