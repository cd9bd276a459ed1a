"""From a raw release to what training reads: ``palora prepare cityscapes --source DIR --data DIR``.

It reads the release, checks it, and writes memory-mapped arrays and a manifest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from palora_core.errors import UserError
from palora_core.paths import data_folder
from palora_core.progress import Bar


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("name", nargs="?", help="e.g. cityscapes, nyuv2, utkface (with --check: all if left out)")
    parser.add_argument("--source", type=Path, help="folder of the raw release")
    parser.add_argument("--data", type=Path, default=data_folder(), help="data root (default: ./data or $DATA_DIR)")
    parser.add_argument("--check", action="store_true", help="tell what is there, what is missing and where to get it")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one per core)")


def run(args: argparse.Namespace) -> int:
    """Prepare one data set, or check what is there."""
    from palora_core.preparation.base import preparers

    if args.workers < 0:
        raise UserError(f"--workers must be at least 0, found {args.workers}.")
    if args.name and args.name not in preparers.names() and is_generated(args.name):
        print(f"{args.name} is generated below {args.data} when it is first trained on; there is nothing to prepare.")
        return 0
    if args.check:
        names = [args.name] if args.name else preparers.names()
        chosen = {preparers.get(name)().name: preparers.get(name) for name in names}
        results = [chosen[name]().check(args.source, args.data) for name in sorted(chosen)]
        print("\n".join(line for _, lines in results for line in lines))
        return 0 if all(ready for ready, _ in results) else 1
    if not args.name:
        raise UserError(f"Which data set? One of {', '.join(preparers.names())}.")
    bar = Bar()
    try:
        lines = preparers.get(args.name)().prepare(args.source, args.data, bar, args.workers)
    finally:
        bar.close()
    print("\n".join(lines))
    return 0


def is_generated(name: str) -> bool:
    """Whether this is a benchmark that makes all of its data."""
    from palora_core.benchmarks.base import benchmarks  # here: with it comes torch, which takes seconds

    kind = benchmarks.get(name) if name in benchmarks else None
    return getattr(kind, "synthetic", False) and not getattr(kind, "also_real", False)
