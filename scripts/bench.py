"""Measure speed and memory as ratios within one run: ``python scripts/bench.py [core] [full] [epoch] …``.

Prints goal beside figure, writes JSON and the table of docs/results/performance.md. All parts together take less than
ten minutes on two cores; ``scaling``, ``large`` and ``text`` (these two need the extra llm) only by name. ``gpu`` says
so where there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

from _cli import ROOT, main

PARTS = ("core", "full", "epoch", "scenes", "start", "dashboard", "gpu")
NAMED = ("scaling", "large", "text")
MARKS = "<!-- bench:start -->", "<!-- bench:end -->"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Goal beside figure, as ratios within one run.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, *NAMED, []], help=f"default: {' '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="few repetitions, to see that it runs")
    parser.add_argument("--out", type=Path, default=parser_default())
    return parser.parse_args()


def run() -> None:
    args = arguments()
    began = time.monotonic()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch
    from _measure import table

    from palora_core.machine import describe

    torch.set_num_threads(1)
    result = {"machine": describe(), "figures": []}
    measured = f"{date.today()}, {result['machine']['processor']}"
    if args.out.exists():
        result["figures"] = json.loads(args.out.read_text())["figures"]
    for part in args.parts or PARTS:
        figures = globals()[f"bench_{part}"](args, result)
        print(table(figures), flush=True)
        names = {figure.name for figure in figures}
        kept = [figure for figure in result["figures"] if figure["name"] not in names]
        result["figures"] = kept + [replace(figure, measured=measured).as_dict() for figure in figures]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")  # after every part: the later ones take minutes
    print(f"written to {args.out} after {time.monotonic() - began:.0f} s")
    if not args.quick and args.out == parser_default():
        write_table(result["figures"])


def parser_default() -> Path:
    """Where figures go that stand in the table of the site too."""
    return ROOT / "docs" / "results" / "bench.json"


def write_table(figures: list[dict]) -> None:
    """Put the figures that have a goal between the marks of the page on performance, if it has them."""
    from _measure import Figure, table

    path = ROOT / "docs" / "results" / "performance.md"
    text = path.read_text()
    if not all(mark in text for mark in MARKS):
        return
    before, _, rest = text.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    shown = [Figure(**figure) for figure in figures if figure["goal"] is not None]
    days = sorted({figure.measured for figure in shown}, reverse=True)
    told = []
    for day in days:  # figures of other days and machines stay until they are measured again, and say so
        lines = table([figure for figure in shown if figure.measured == day])
        told.append(f"Measured {day}:\n\n{lines}" if day else lines)
    text = "\n\n".join(told)
    path.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")


def bench_core(args: argparse.Namespace, result: dict) -> list:
    """Training, memory, fronts and serving on LeNet and a quarter of SegNet."""
    from _bench_core import front, lenet_case, memory, segnet_case, serving, training

    repetitions, budget = (3, 10) if args.quick else (15, 40)
    small, narrow = lenet_case(), segnet_case(0.25)
    figures = training(small, {"fp32": 3.3, "bf16": 2.9}, repetitions, budget)
    figures += training(narrow, {"fp32": 4.4, "bf16": 2.65, "balanced bf16": 4.46}, repetitions, budget)
    figures += memory(narrow)
    figures += front(small, {"fp32": 0.55}, repetitions, budget)
    figures += front(narrow, {"fp32": 0.62, "bf16": 0.32}, repetitions, budget)
    return figures + serving(narrow, repetitions, budget)


def bench_full(args: argparse.Namespace, result: dict) -> list:
    """Training and serving on SegNet at the paper's size."""
    from _bench_core import segnet_case, serving, training

    case = segnet_case(1.0)
    figures = serving(case, 3 if args.quick else 9, 40)
    goals = {"fp32": 4.4, "bf16": 2.1, "balanced bf16": 3.8}
    return figures + training(case, goals, 1 if args.quick else 3, 60, least=1)


def bench_epoch(args: argparse.Namespace, result: dict) -> list:
    """An epoch of MultiMNIST against the research code's way of computing it."""
    from _bench_epoch import epoch

    return epoch(1 if args.quick else 5, 60)


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

    ratio = seconds("import palora_core; palora_core.palorize") / seconds("import torch")
    return [Figure("import palora_core / import torch", ratio, 1.3)]


def bench_scaling(args: argparse.Namespace, result: dict) -> list:
    from _bench_scaling import scaling

    return scaling(ROOT / "docs" / "results" if not args.quick else args.out.parent, args.quick)


def bench_large(args: argparse.Namespace, result: dict) -> list:
    """Frozen bases of 0.1 to 1.5 billion parameters against PEFT's LoRA; ``--quick`` leaves out the largest."""
    from _bench_large import CASES, SMALL, figures, per_sample

    found = per_sample(9, 20)
    for name in SMALL if args.quick else CASES:
        found += figures(name, 3 if args.quick else 7, 60 if args.quick else 120)
    return found


def bench_text(args: argparse.Namespace, result: dict) -> list:
    """How the shipped language model is steered."""
    from _bench_text import measure

    return measure(args.quick)


def bench_gpu(args: argparse.Namespace, result: dict) -> list:
    import torch

    if not torch.cuda.is_available():
        print("The GPU figures were left out: torch finds no GPU here.")
        return []
    from _bench_gpu import gpu

    return gpu((0.25,) if args.quick else (1.0,))


def bench_dashboard(args: argparse.Namespace, result: dict) -> list:
    sys.path.insert(0, str(ROOT))
    from _bench_dashboard import measure

    return measure(args.quick)


if __name__ == "__main__":
    main(run)
