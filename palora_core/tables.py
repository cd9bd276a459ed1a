"""Tables over runs: what each method reached on a benchmark, mean ± standard deviation over seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from palora_core.benchmarks.base import Benchmark
from palora_core.checkpoint import read_card
from palora_core.errors import UserError
from palora_core.front import Front
from palora_core.indicators import hypervolume
from palora_core.tasks import Metric


@dataclass(frozen=True)
class Result:
    """One finished run: its card and its test front."""

    card: dict[str, Any]
    front: Front

    @staticmethod
    def read(folder: Path) -> Result:
        """Of a run or model folder."""
        return Result(read_card(folder), Front.load(folder / "front.json"))

    @property
    def title(self) -> str:
        """The method's name with what was changed about it, as the run's folder says."""
        return self.card["title"].partition(" on ")[0]


def metric_hypervolume(front: Front, benchmark: Benchmark) -> float | None:
    """Hypervolume of the first metric of every task (a fraction that is maximised), reference 0; None if not such."""
    columns = []
    for task in benchmark.tasks:
        metric = task.metrics[0]
        if metric.unit != "%" or not metric.higher_is_better:
            return None
        columns.append(1 - front.metrics[f"{task.name}/{metric.name}"])
    return hypervolume(np.stack(columns, 1), [1.0] * len(columns))


def row(results: Sequence[Result], benchmark: Benchmark) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds of everything a table shows."""
    if not results:
        raise UserError("There is no finished run to make a table of; train first.")
    figures: dict[str, list[float]] = {"hypervolume": [r.front.hypervolume() for r in results]}
    by_metric = [metric_hypervolume(r.front, benchmark) for r in results]
    if None not in by_metric:
        figures["metric_hypervolume"] = by_metric  # type: ignore[assignment]
    for task in benchmark.tasks:
        for metric in task.metrics:
            key = f"{task.name}/{metric.name}"
            figures[f"best {key}"] = [_best(r.front.metrics[key], metric) for r in results]
        position = [t.name for t in benchmark.tasks].index(task.name)
        figures[f"best {task.name}/loss"] = [float(r.front.objectives[:, position].min()) for r in results]
    figures["nondominated"] = [float(r.front.nondominated().sum()) for r in results]
    figures["seconds"] = [float(r.card["training"]["seconds"]) for r in results]
    if len(results[0].front.preferences) > 1:
        for position, task in enumerate(benchmark.tasks):
            figures[f"spearman {task.name}"] = [r.front.spearman()[position] for r in results]
    parameters = results[0].card["parameters"]
    return {
        "method": results[0].card["method"]["name"],
        "title": results[0].title,
        "seeds": sorted(r.card["training"]["seed"] for r in results),
        "points": len(results[0].front.preferences),
        "parameters": parameters["base"] + parameters["extra"],
        "overhead_percent": parameters["overhead_percent"],
        **{name: {"mean": statistics.fmean(values), "std": _deviation(values)} for name, values in figures.items()},
    }


def markdown(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str, float, int]]) -> str:
    """A Markdown table; ``columns`` are (key, heading, factor, decimals), rows in the given order."""
    head = ["Method", *(heading for _, heading, _, _ in columns)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for entry in rows:
        cells = [_cell(entry.get(key), factor, decimals) for key, _, factor, decimals in columns]
        lines.append("| " + " | ".join([entry["title"], *cells]) + " |")
    return "\n".join(lines) + "\n"


def published_multimnist(path: Path) -> list[dict[str, Any]]:
    """Rows of the paper's recorded MultiMNIST results (``docs/published/multimnist.json``), marked as published."""
    return json.loads(Path(path).read_text())["rows"]


def _cell(value: Any, factor: float, decimals: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, dict):
        spread = f" ± {factor * value['std']:.{decimals}f}" if value["std"] is not None else ""
        return f"{factor * value['mean']:.{decimals}f}{spread}"
    return f"{factor * value:,.{decimals}f}"


def _best(values: np.ndarray, metric: Metric) -> float:
    return float(np.nanmax(values) if metric.higher_is_better else np.nanmin(values))


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
