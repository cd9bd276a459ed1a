"""Figures of a sweep: hypervolume and alignment by setting (Figures 6 and 10), and fronts by sampler (Figure 11).

``python -m app.exports.sweep_figures results.json``, as ``palora sweep`` does.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io

LABELS = {"hypervolume": "hypervolume", "worst_spearman": "worst Spearman correlation"}


def write(results: Path) -> Path:
    """Draw ``results.json`` into ``figures.html`` beside it; the page needs no network."""
    rows = json.loads(results.read_text())["results"]
    figures = [*by_setting(rows), *heatmaps(rows), fronts(rows, results.parent)]
    pages = [plotly.io.to_html(f, full_html=False, include_plotlyjs=i == 0) for i, f in enumerate(figures)]
    path = results.with_name("figures.html")
    path.write_text("<!doctype html><meta charset='utf-8'><title>Sweep</title>\n" + "\n".join(pages))
    return path


def variant(settings: dict[str, Any]) -> str:
    """The sampler of a run in words, or all its settings where samplers do not vary."""
    names = ("sampler", "temperature", "concentration") if "sampler" in settings else tuple(settings)
    return ", ".join(
        f"{settings[name]}" if name == "sampler" else f"{name} {settings[name]}" for name in names if name in settings
    )


def by_setting(rows: list[dict[str, Any]]) -> list[go.Figure]:
    """One box of hypervolumes (Figure 6) and of correlations per value of every setting."""
    names = sorted({name for row in rows for name in row["settings"]})
    figures = []
    for value, label in LABELS.items():
        figure = go.Figure()
        for name in names:
            own = [row for row in rows if name in row["settings"]]
            own.sort(key=lambda row: _order(row["settings"][name]))
            x = [f"{name} = {row['settings'][name]}" for row in own]
            figure.add_box(x=x, y=[row[value] for row in own], name=name, boxpoints="all", jitter=0.3)
        figures.append(figure.update_layout(title=f"{label.capitalize()} by setting", yaxis_title=label))
    return figures


def heatmaps(rows: list[dict[str, Any]]) -> list[go.Figure]:
    """Mean hypervolume and correlation over M × α, one map per sampler (Figure 10)."""
    wanted = [row for row in rows if {"num_preferences", "alpha"} <= row["settings"].keys()]
    figures = []
    for name in dict.fromkeys(variant(row["settings"]) for row in wanted):
        own = [row for row in wanted if variant(row["settings"]) == name]
        xs, ys = (sorted({row["settings"][key] for row in own}, key=float) for key in ("num_preferences", "alpha"))
        for value, label in LABELS.items():
            z = [[_mean(own, value, x, y) for x in xs] for y in ys]
            figure = go.Figure(go.Heatmap(x=xs, y=ys, z=z, texttemplate="%{z:.4f}", colorscale="Cividis"))
            figure.update_xaxes(type="category", title="preferences per step M").update_yaxes(
                type="category", title="α"
            )
            figures.append(figure.update_layout(title=f"{name}: {label}"))
    return figures


def _order(value: str) -> tuple[float, str]:
    """Numbers by size, names by the alphabet."""
    try:
        return float(value), ""
    except ValueError:
        return float("inf"), value


def _mean(rows: list[dict[str, Any]], value: str, count: str, alpha: str) -> float | None:
    key = (count, alpha)
    found = [r[value] for r in rows if (r["settings"]["num_preferences"], r["settings"]["alpha"]) == key]
    return statistics.mean(found) if found else None


def fronts(rows: list[dict[str, Any]], folder: Path) -> go.Figure:
    """Loss fronts of the best run of each sampler or setting (Figure 11), first two tasks."""
    figure, seen = go.Figure(), set()
    for row in rows:  # the best hypervolume comes first
        name = variant(row["settings"])
        path = folder / row["folder"] / "front.json"
        if name in seen or not path.exists():
            continue
        seen.add(name)
        front = json.loads(path.read_text())
        x, y = ([point[axis] for point in front["objectives"]] for axis in (0, min(1, len(front["tasks"]) - 1)))
        figure.add_scatter(x=x, y=y, mode="lines+markers", name=name)
    return figure.update_layout(
        title="Fronts of the best runs", xaxis_title="loss of task 1", yaxis_title="loss of task 2"
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
