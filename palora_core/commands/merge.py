"""Mix checkpoints or adapters of one network by λ: ``palora merge A B --benchmark multimnist --out MODEL``.

No training: W(λ) = W₀ + Σ_t λ_t (W_t − W₀), W₀ what all were fine-tuned from (``--base``), or their mean. Parts are
files of weights, model folders, or folders that PEFT saved, one per objective of the benchmark, in its order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from palora_core.commands.console import add_common, settings
from palora_core.errors import UserError
from palora_core.progress import Bar


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("parts", type=Path, nargs="+", help="one per objective, in the benchmark's order")
    parser.add_argument("--benchmark", required=True, help="whose network the parts are of")
    parser.add_argument("--base", type=Path, help="what all of them were fine-tuned from (default: their mean)")
    parser.add_argument("--rank", type=int, help="largest rank of a layer's differences (default: exact)")
    parser.add_argument("--error", type=float, help="largest relative error of a layer's differences, in place of it")
    parser.add_argument("--align", choices=("none", "ties"), default="none", help="needs --base")
    parser.add_argument("--items", type=int, default=0, help="test items for the front (default: all)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="options of the benchmark")
    parser.add_argument("--out", type=Path, required=True, help="the model folder, new or empty")
    add_common(parser)


def run(args: argparse.Namespace) -> None:
    """Merge, evaluate where the data are at hand, write the folder."""
    from palora_core.benchmarks.base import benchmarks
    from palora_core.config import override
    from palora_core.merging.folder import MergeRequest, merge_folder

    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UserError(f"{args.out} is there already; give --out a new folder.")
    benchmark = override(benchmarks.get(args.benchmark)(), settings(args.set))
    options = {"rank": args.rank, "error": args.error, "align": args.align, "data": args.data, "items": args.items}
    bar = Bar()
    notes = merge_folder(MergeRequest(benchmark, args.parts, base=args.base, **options), args.out, bar)
    bar.close()
    for note in notes:
        print(note)
    _tell(args.out)


def _tell(folder: Path) -> None:
    from palora_core.commands.evaluate import print_table
    from palora_core.evaluation.front import Front
    from palora_core.storage.cards import read_card

    merged = read_card(folder)["merged"]
    ranks = "–".join(str(rank) for rank in dict.fromkeys(merged["ranks"]))
    print(f"{folder}: {merged['layers']} layers of rank {ranks}, relative error {merged['error']:.2g}")
    if (folder / "front.json").is_file():
        print_table(Front.load(folder / "front.json"))
