"""Several runs in one figure: losses of every task, newest fronts, hypervolume; data in, plotly figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.components.plain import in_figure
from app.components.training_figures import COLOURS, DASHES, MARKERS, pretty, styled, thin

# More tasks than this share one panel with their mean.
MOST_PANELS = 6


@dataclass(frozen=True)
class RunTrace:
    """The events of one run under the name it has in legends."""

    label: str
    events: Sequence[Mapping[str, Any]]

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event["kind"] == kind]

    @property
    def start(self) -> Mapping[str, Any]:
        """The newest start event; {} for a run that has not begun."""
        return next(reversed(self.of("start")), {})

    @property
    def tasks(self) -> list[str]:
        """Task names."""
        return [in_figure(task) for task in self.start.get("tasks", [])]

    def epoch(self, event: Mapping[str, Any]) -> float:
        """Where a step lies in epochs, so that runs of other lengths and batch sizes line up."""
        return event["step"] * self.start["epochs"] / max(1, self.start["total_steps"])


def losses(runs: Sequence[RunTrace]) -> go.Figure:
    """Training losses against epochs, a panel per task (beyond six tasks one panel with their mean)."""
    tasks = runs[0].tasks
    panels = [[t] for t in range(len(tasks))] if len(tasks) <= MOST_PANELS else [list(range(len(tasks)))]
    titles = [pretty(tasks[p[0]]) if len(p) == 1 else "mean of all tasks" for p in panels]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = make_subplots(rows, columns, subplot_titles=titles, horizontal_spacing=0.08, vertical_spacing=0.2)
    for number, run in enumerate(runs):
        steps = thin(run.of("step"))
        for p, members in enumerate(panels):
            y = [_mean([e["losses"][t] for t in members]) for e in steps]
            figure.add_scatter(
                x=[run.epoch(e) for e in steps],
                y=y,
                **_look(number, run, "lines" if len(steps) > 1 else "markers", legend=p == 0),
                row=p // columns + 1,
                col=p % columns + 1,
            )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="training loss", col=1)
    # The titles of the panels stand between them and the legend.
    figure = styled(figure).update_layout(height=250 * rows + 70, margin_t=70, legend_y=1.12 if rows == 1 else 1.08)
    return figure.update_annotations(font_size=13)


def fronts(runs: Sequence[RunTrace], across: int = 0, up: int = 1) -> go.Figure:
    """The newest validation front of every run that has one, over two of the tasks."""
    tasks = runs[0].tasks
    across, up = min(across, len(tasks) - 1), min(up, len(tasks) - 1)
    figure = go.Figure()
    for number, run in enumerate(runs):
        for event in run.of("front")[-1:]:
            rows = sorted(zip(event["preferences"], event["objectives"]), key=lambda pair: pair[0][across])
            figure.add_scatter(
                x=[objectives[across] for _, objectives in rows],
                y=[objectives[up] for _, objectives in rows],
                **_look(number, run, "lines+markers" if len(tasks) == 2 else "markers"),
            )
    figure.update_xaxes(title=f"← better  ·  {pretty(tasks[across])} loss")
    figure.update_yaxes(title=f"← better  ·  {pretty(tasks[up])} loss")
    return styled(figure).update_layout(height=380)


def hypervolumes(runs: Sequence[RunTrace]) -> go.Figure:
    """Hypervolume of the validation fronts against the epoch."""
    figure = go.Figure()
    for number, run in enumerate(runs):
        events = run.of("front")
        x, y = [e["epoch"] for e in events], [e["hypervolume"] for e in events]
        figure.add_scatter(x=x, y=y, **_look(number, run, "lines+markers"))
    figure.update_xaxes(title="epoch", rangemode="tozero")
    figure.update_yaxes(title="hypervolume →")
    return styled(figure).update_layout(height=380)


def _look(number: int, run: RunTrace, mode: str, legend: bool = True) -> dict[str, Any]:
    # The first run is the chosen one: the widest line. Dashes and markers tell runs apart without colour.
    return {
        "name": run.label,
        "legendgroup": str(number),
        "showlegend": legend,
        "mode": mode,
        "line": {"color": COLOURS[number % 8], "dash": DASHES[number % 6], "width": 3 if number == 0 else 1.6},
        "marker": {"color": COLOURS[number % 8], "symbol": MARKERS[number % 8], "size": 9 if number == 0 else 7},
        "hovertemplate": "%{x:.4g}: %{y:.4g}<extra>%{fullData.name}</extra>",
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
