"""Timing as ratios within one run: warm-up, interleaved variants, medians of CPU time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass


@dataclass
class Timing:
    """CPU and wall seconds of one variant, a value per repetition."""

    cpu: list[float]
    wall: list[float]

    @property
    def median_cpu(self) -> float:
        return statistics.median(self.cpu)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, over the median."""
        if len(self.cpu) < 4:
            return (max(self.cpu) - min(self.cpu)) / 2 / self.median_cpu
        low, _, high = statistics.quantiles(self.cpu, n=4)
        return (high - low) / 2 / self.median_cpu


def interleaved(
    variants: Mapping[str, Callable[[], object]], repetitions: int, budget: float = 60.0, least: int = 3
) -> dict[str, Timing]:
    """Run every variant once per round; rounds until ``repetitions`` or, after ``least``, ``budget`` seconds."""
    for function in variants.values():
        function()
    timings = {name: Timing([], []) for name in variants}
    began = time.monotonic()
    for done in range(repetitions):
        if done >= least and time.monotonic() - began > budget:
            break
        for name, function in variants.items():
            cpu, wall = time.process_time(), time.perf_counter()
            function()
            timings[name].cpu.append(time.process_time() - cpu)
            timings[name].wall.append(time.perf_counter() - wall)
    return timings


@dataclass
class Figure:
    """One line of the report: what, the figure, the goal (``≤``), how it was measured, on which day and machine."""

    name: str
    value: float
    goal: float | None
    unit: str = "×"
    note: str = ""
    measured: str = ""

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def table(figures: list[Figure]) -> str:
    """A Markdown table with goal beside figure."""
    lines = ["| figure | measured | goal | |", "|---|---|---|---|"]
    for figure in figures:
        goal = "–" if figure.goal is None else f"≤ {figure.goal:g} {figure.unit}"
        mark = {True: "reached", False: "missed", None: ""}[figure.reached]
        lines.append(f"| {figure.name} | {figure.value:.3g} {figure.unit} | {goal} | {mark} |")
    return "\n".join(lines)
