"""Measure speed and memory as ratios within one run: ``python scripts/bench.py [core] [scenes] [start] [dashboard]``.

Prints goal beside figure and writes JSON. Under ten minutes on two cores without ``--full``; ``scaling`` and ``gpu``
only by name.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from _cli import ROOT, main

PARTS = ("core", "scenes", "start", "dashboard")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Goal beside figure, as ratios within one run.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "scaling", "gpu", []], help=f"default: {' '.join(PARTS)}")
    parser.add_argument("--full", action="store_true", help="SegNet at the paper's size too (minutes more)")
    parser.add_argument("--quick", action="store_true", help="few repetitions, to see that it runs")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "bench.json")
    return parser.parse_args()


def run() -> None:
    args = arguments()
    import torch
    from _measure import table

    from palora_core.machine import describe

    torch.set_num_threads(1)
    result = {"machine": describe(), "figures": []}
    if args.out.exists():
        result["figures"] = json.loads(args.out.read_text())["figures"]
    measured = []
    for part in args.parts or PARTS:
        figures = globals()[f"bench_{part}"](args, result)
        print(table(figures), flush=True)
        measured += figures
    names = {figure.name for figure in measured}
    kept = [figure for figure in result["figures"] if figure["name"] not in names]
    result["figures"] = kept + [figure.as_dict() for figure in measured]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {args.out}")


def bench_core(args: argparse.Namespace, result: dict) -> list:
    from _bench_core import front, lenet_case, memory, scaling, segnet_case, serving, training

    repetitions, budget = (3, 10) if args.quick else (15, 60)
    small, narrow = lenet_case(), segnet_case(0.25)
    figures = training(small, {"fp32": 3.3, "bf16": 2.9}, repetitions, budget)
    figures += training(narrow, {"fp32": 4.4, "bf16": 2.65, "balanced bf16": 4.46}, repetitions, budget)
    figures += memory(narrow)
    figures += front(small, {"fp32": 0.55}, repetitions, budget)
    figures += front(narrow, {"fp32": 0.62, "bf16": 0.32}, repetitions, budget)
    figures += serving(narrow, repetitions, budget)
    full = segnet_case(1.0)
    figures += serving(full, repetitions, budget)
    if args.full:
        figures += training(full, {"fp32": 4.4, "bf16": 2.1, "balanced bf16": 3.8}, 5, 240)
    result["scaling"] = scaling(3 if args.quick else 7)
    return figures


def bench_scenes(args: argparse.Namespace, result: dict) -> list:
    from _measure import Figure

    from palora_core.scenes import render

    figures = []
    for kind, size, goal in (("streets", (128, 256), 0.10), ("rooms", (96, 128), None)):
        render(kind, 0, 0, *size)
        count = 4 if args.quick else 24
        began = time.process_time()
        for index in range(1, count + 1):
            render(kind, 0, index, *size)
        seconds = (time.process_time() - began) / count
        figures.append(Figure(f"{kind} {size[0]}×{size[1]}, generation of one scene", seconds, goal, "CPU s"))
    return figures


def bench_start(args: argparse.Namespace, result: dict) -> list:
    from _measure import Figure

    def seconds(statement: str) -> float:
        code = f"import time; t = time.process_time(); {statement}; print(time.process_time() - t)"
        runs = [
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True) for _ in range(3)
        ]
        return min(float(run.stdout) for run in runs)

    return [Figure("import palora_core / import torch", seconds("import palora_core") / seconds("import torch"), 1.3)]


def bench_scaling(args: argparse.Namespace, result: dict) -> list:
    from _bench_scaling import scaling

    return scaling(ROOT / "docs" / "results" if not args.quick else args.out.parent, args.quick)


def bench_gpu(args: argparse.Namespace, result: dict) -> list:
    import torch

    from palora_core.errors import UserError

    if not torch.cuda.is_available():
        raise UserError("The GPU figures need a GPU, and torch finds none here.")
    from _bench_gpu import gpu

    return gpu((0.25,) if args.quick else (1.0,))


def bench_dashboard(args: argparse.Namespace, result: dict) -> list:
    sys.path.insert(0, str(ROOT))
    from _bench_dashboard import measure

    return measure(args.quick)


if __name__ == "__main__":
    main(run)
