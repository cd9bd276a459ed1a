"""Tables over runs: what each method reached on a benchmark, mean ± standard deviation over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from palora_core.benchmarks.base import Benchmark
from palora_core.checkpoint import read_card
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.evaluation.indicators import hypervolume
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


def joined(single: Sequence[Result]) -> Result:
    """The T networks of single-task learning (one seed) as one result: of each task, the network trained for it alone.

    Args:
        single: the run of each task, in the order of λ.
    """
    first = single[0].front
    objectives = np.array([[run.front.objectives[0, t] for t, run in enumerate(single)]])
    metrics = {
        name: single[first.tasks.index(name.partition("/")[0])].front.metrics[name][:1] for name in first.metrics
    }
    centre = np.full((1, len(first.tasks)), 1 / len(first.tasks))
    about = {**first.about, "networks": len(single)}
    front = Front(centre, objectives, metrics, first.tasks, first.reference, about)
    card = dict(single[0].card)
    size = card["parameters"]["base"]
    card["parameters"] = {"base": size, "extra": size * (len(single) - 1), "overhead_percent": 100 * (len(single) - 1)}
    card["training"] = {**card["training"], "seconds": sum(run.card["training"]["seconds"] for run in single)}
    return Result(card, front)


def delta_m(values: Mapping[str, float], baseline: Mapping[str, float], benchmark: Benchmark) -> float:
    """Δm in %: the mean over all metrics of how much worse they are than the baseline's (Maninis et al., CVPR 2019).

    Args:
        values: ``"task/metric"`` → value.
        baseline: the same of single-task learning, mean over its seeds.
        benchmark: knows the metrics and their directions.

    Returns:
        Negative where the method is better on average; NaN where a baseline value is 0 or missing.
    """
    losses = []
    for task in benchmark.tasks:
        for metric in task.metrics:
            key = f"{task.name}/{metric.name}"
            if not baseline.get(key):
                return math.nan
            loss = (values[key] - baseline[key]) / baseline[key]
            losses.append(-loss if metric.higher_is_better else loss)
    return 100 * statistics.fmean(losses)


def best_values(front: Front, benchmark: Benchmark) -> dict[str, float]:
    """``"task/metric"`` → the best value over the front's λ, as the paper's tables have it."""
    return {
        f"{task.name}/{metric.name}": _best(front.metrics[f"{task.name}/{metric.name}"], metric)
        for task in benchmark.tasks
        for metric in task.metrics
    }


def baseline_of(results: Sequence[Result], benchmark: Benchmark) -> dict[str, float]:
    """Mean over seeds of the metrics of single-task learning, each result being a :func:`joined` one."""
    every = [best_values(result.front, benchmark) for result in results]
    return {key: statistics.fmean(values[key] for values in every) for key in every[0]}


def row(results: Sequence[Result], benchmark: Benchmark, baseline: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds of everything a table shows.

    With a ``baseline`` there are two Δm: ``delta_m`` from the best value of each metric over λ, the paper's way, and
    ``delta_m_one`` from the single λ whose Δm is best. A method with one solution has the same twice.
    """
    if not results:
        raise UserError("There is no finished run to make a table of; train first.")
    figures: dict[str, list[float]] = {"hypervolume": [r.front.hypervolume() for r in results]}
    by_metric = [metric_hypervolume(r.front, benchmark) for r in results]
    if None not in by_metric:
        figures["metric_hypervolume"] = by_metric  # type: ignore[assignment]
    # Figures of one network, which several trained for one task each are not.
    for question in benchmark.questions if "networks" not in results[0].front.about else ():
        figures[f"figure {question.name}"] = [benchmark.answer(question, r.front) for r in results]
    best = [best_values(r.front, benchmark) for r in results]
    for key in best[0]:
        figures[f"best {key}"] = [values[key] for values in best]
    for position, task in enumerate(benchmark.tasks):
        figures[f"best {task.name}/loss"] = [float(r.front.objectives[:, position].min()) for r in results]
    if baseline:
        figures["delta_m"] = [delta_m(values, baseline, benchmark) for values in best]
        figures["delta_m_one"] = [_delta_m_of_one(r.front, baseline, benchmark) for r in results]
    figures["nondominated"] = [float(r.front.nondominated().sum()) for r in results]
    figures["seconds"] = [float(r.card["training"]["seconds"]) for r in results]
    controllable = len(results[0].front.preferences) > 1
    if controllable:
        for position, task in enumerate(benchmark.tasks):
            figures[f"spearman {task.name}"] = [r.front.spearman()[position] for r in results]
    parameters = results[0].card["parameters"]
    return {
        "method": results[0].card["method"]["name"],
        "title": results[0].title,
        "seeds": sorted(r.card["training"]["seed"] for r in results),
        "points": len(results[0].front.preferences),
        "controllable": controllable,
        "parameters": parameters["base"] + parameters["extra"],
        "overhead_percent": parameters["overhead_percent"],
        **{name: {"mean": statistics.fmean(values), "std": _deviation(values)} for name, values in figures.items()},
    }


def paper_table(rows: Sequence[dict[str, Any]], benchmark: Benchmark) -> str:
    """A Markdown table in the form of the paper's Tables 1 and 2: metrics, Δm, extra parameters; the best in bold.

    Rows come in the given order; the best of a column is that of all rows but single-task learning's.
    """
    columns: list[tuple[str, str, float, int, bool]] = []
    for task in benchmark.tasks:
        for metric in task.metrics:
            factor, decimals = (100.0, 2) if metric.unit == "%" else (1, 2 if metric.unit in ("°", "points") else 4)
            unit = f" {metric.unit}" if metric.unit else ""
            heading = f"{task.name} {metric.label}{unit} {'↑' if metric.higher_is_better else '↓'}"
            columns.append((f"best {task.name}/{metric.name}", heading, factor, decimals, metric.higher_is_better))
    if any("delta_m" in entry for entry in rows):
        columns.append(("delta_m", "Δm % ↓", 1, 2, False))
        columns.append(("delta_m_one", "Δm % at one λ ↓", 1, 2, False))
    columns.append(("hypervolume", "HV ↑", 1, 4, True))
    best = {}
    for key, _, _, _, higher in columns:
        means = [entry[key]["mean"] for entry in rows if key in entry and entry["method"] != "stl"]
        known = [mean for mean in means if not math.isnan(mean)]
        best[key] = (max if higher else min)(known) if known else None
    head = ["Method", "seeds", *(heading for _, heading, _, _, _ in columns), "Δp % ↓", "controllable"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for entry in rows:
        cells = []
        for key, _, factor, decimals, _ in columns:
            cell = _cell(entry.get(key), factor, decimals)
            wins = key in entry and entry["method"] != "stl" and entry[key]["mean"] == best[key]
            cells.append(f"**{cell}**" if wins else cell)
        cells += [_cell(entry["overhead_percent"], 1, 1), "✓" if entry["controllable"] else "✗"]
        lines.append("| " + " | ".join([entry["title"], str(len(entry["seeds"])), *cells]) + " |")
    return "\n".join(lines) + "\n"


def markdown(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str, float, int]]) -> str:
    """A Markdown table; ``columns`` are (key, heading, factor, decimals), rows in the given order."""
    head = ["Method", *(heading for _, heading, _, _ in columns)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for entry in rows:
        cells = [_cell(entry.get(key), factor, decimals) for key, _, factor, decimals in columns]
        lines.append("| " + " | ".join([entry["title"], *cells]) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: Any, factor: float, decimals: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, dict):
        if value["mean"] is None or math.isnan(value["mean"]):
            return "–"
        spread = f" ± {factor * value['std']:.{decimals}f}" if value["std"] is not None else ""
        return f"{factor * value['mean']:.{decimals}f}{spread}"
    return f"{factor * value:,.{decimals}f}"


def _delta_m_of_one(front: Front, baseline: Mapping[str, float], benchmark: Benchmark) -> float:
    """Δm at the λ where it is best."""
    every = [
        delta_m({name: float(values[k]) for name, values in front.metrics.items()}, baseline, benchmark)
        for k in range(len(front.preferences))
    ]
    return float(np.nanmin(every)) if not np.isnan(every).all() else math.nan


def _best(values: np.ndarray, metric: Metric) -> float:
    return float(np.nanmax(values) if metric.higher_is_better else np.nanmin(values))


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
