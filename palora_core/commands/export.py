"""Export a network: ``palora export trained_models/multimnist --preference 0.3 0.7 --out a.safetensors``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from palora_core.commands.console import target
from palora_core.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be given."""
    parser.add_argument("model", type=Path, help="a model folder or a run folder")
    parser.add_argument(
        "--preference", type=float, nargs="+", help="λ, one number per task; left out: λ stays an input"
    )
    parser.add_argument(
        "--format",
        choices=("safetensors", "onnx", "folder", "bundle"),
        default="safetensors",
        help="folder: in the layout of the network's own library, as transformers' from_pretrained reads it; bundle: "
        "weights, ONNX, preprocessing, classes and a script that needs no PyTorch, tried on a sample",
    )
    parser.add_argument("--out", type=Path, required=True, help="a file, or for folder and bundle a new folder")


def run(args: argparse.Namespace) -> None:
    """Write the file and say how far it is from PyTorch."""
    from palora_core.batches import Caller
    from palora_core.checkpoint import benchmark_of, load
    from palora_core.export import export_folder, export_onnx, export_safetensors
    from palora_core.simplex import check_preference
    from palora_core.storage.samples import example_of

    out = target(args.out)
    model, card = load(args.model)
    if args.preference is not None:
        check_preference(args.preference, model.num_tasks)
    if args.format != "onnx" and args.preference is None:
        raise UserError(f"--format {args.format} needs --preference with one number per task; ONNX can do without.")
    if args.format == "safetensors":
        report = export_safetensors(model, args.preference, out)
    elif args.format == "folder":
        codec = getattr(benchmark_of(card).input_kind, "codec", None)
        report = export_folder(model, args.preference, out, codec and codec())
    else:
        from palora_core.handover import export_bundle

        benchmark = benchmark_of(card)
        example = example_of(args.model, card, benchmark.convert)
        if args.format == "bundle":
            told(args.out, export_bundle(model, card, benchmark, example, args.preference, out))
            return
        caller = Caller(model.network, benchmark.problem().passing)
        report = export_onnx(model, example, out, args.preference, caller, benchmark.tasks)
    told(args.out, report)


def told(out: Path, report: dict[str, Any]) -> None:
    """Print size and difference."""
    size = report["bytes"] / 1e6
    print(f"{out}: {size:.1f} MB, largest difference to PyTorch {report['max_abs_difference_to_pytorch']:.1e}")
