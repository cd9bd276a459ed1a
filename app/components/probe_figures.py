"""Figures of the Probe page: data in, plotly figure out; no Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.components.training_figures import COLOURS, DASHES, MARKERS, pretty, styled
from app.pictures.palettes import rgb
from palora_core.evaluation.probing import AdapterReport, depth_groups, is_forgotten
from palora_core.tasks import Metric, Task

CHANCE = "rgba(128,128,128,0.9)"
MOST_LINES = 4


def preference_bars(
    tasks: Sequence[Task],
    metrics: Sequence[Metric],
    values: Mapping[str, Mapping[str, float]],
    limits: Sequence[tuple[float, float]],
    trained: Sequence[str],
) -> go.Figure:
    """Figure 5 of the paper: every task at preferences on and off the simplex, one panel per task.

    Bars of pseudo-preferences are lighter, those of forgotten tasks are hatched and say so.

    Args:
        tasks: the tasks shown.
        metrics: what is shown of each.
        values: λ as text → ``"task/metric"`` → value, in the order of the bars.
        limits: per task (chance level, value from which it counts as forgotten).
        trained: which of the λ's lie on the simplex.
    """
    titles = [f"{pretty(task.name)}<br>{_axis(metric)}" for task, metric in zip(tasks, metrics)]
    figure = make_subplots(rows=1, cols=len(tasks), subplot_titles=titles, horizontal_spacing=0.09)
    for t, (task, metric, (chance, limit)) in enumerate(zip(tasks, metrics, limits)):
        scale = 100 if metric.unit == "%" else 1
        raw = [row[f"{task.name}/{metric.name}"] for row in values.values()]
        lost = [is_forgotten(metric, value, limit) for value in raw]
        top = _ceiling(raw, limit, metric)
        figure.add_bar(
            x=list(values),
            y=[scale * min(value, top) for value in raw],
            marker={
                "color": [_faded(COLOURS[t % 8], 1.0 if name in trained else 0.55) for name in values],
                "pattern": {"shape": ["/" if gone else "" for gone in lost], "fgcolor": "rgba(255,255,255,0.85)"},
                "line": {"color": COLOURS[t % 8], "width": 1.2},
            },
            text=[_bar_text(metric, value, gone, value > top) for value, gone in zip(raw, lost)],
            textposition="outside",
            textangle=0,
            cliponaxis=False,
            hovertemplate=f"λ = %{{x}}<br>{metric.label}: %{{text}}<extra></extra>",
            row=1,
            col=t + 1,
        )
        if scale * chance <= scale * top * 1.2:
            figure.add_hline(y=scale * chance, line={"color": CHANCE, "dash": "dot", "width": 1.5}, row=1, col=t + 1)
        figure.update_yaxes(range=[0, 1.22 * scale * top], row=1, col=t + 1)
        if scale == 100:  # the room above the bars is for their numbers, not for more than all
            step = 20 if top > 0.5 else 10
            figure.update_yaxes(tickvals=list(range(0, 101, step)), row=1, col=t + 1)
    figure.update_xaxes(tickangle=-35)
    styled(figure, legend=False, bottom=70)
    figure.update_annotations(font={"size": 13})
    return figure.update_layout(height=340, margin={"t": 52})


def adapter_norms(report: AdapterReport, tasks: Sequence[str]) -> go.Figure:
    """‖Δ_t‖ / ‖W‖ of every layer: a line per task, or a map from five tasks on."""
    labels = short_names(report.names)
    if len(tasks) > MOST_LINES:
        figure = go.Figure(
            go.Heatmap(
                z=report.norms.T,
                x=labels,
                y=[pretty(task) for task in tasks],
                colorscale="Viridis",
                colorbar={"title": {"text": "‖Δ‖ / ‖W‖", "side": "right"}, "thickness": 10},
                hovertemplate="%{x}<br>%{y}: %{z:.3g}<extra></extra>",
            )
        )
        figure.update_yaxes(autorange="reversed")
        return styled(figure, legend=False, bottom=84)
    figure = go.Figure()
    for t, task in enumerate(tasks):
        _line(figure, labels, report.norms[:, t], pretty(task), t)
    _depth_marks(figure, report.names)
    figure.update_yaxes(title="‖Δₜ‖ / ‖W‖", rangemode="tozero")
    figure.update_xaxes(type="category", tickangle=-40, tickfont={"size": 10})
    return styled(figure, bottom=84).update_layout(height=320)


def adapter_cosines(report: AdapterReport, tasks: Sequence[str]) -> go.Figure:
    """Cosine of the angle between two tasks' deltas in every layer; from five tasks on, its mean over the layers."""
    labels = short_names(report.names)
    if len(tasks) > MOST_LINES:
        names = [pretty(task) for task in tasks]
        mean = np.where(np.isfinite(report.cosines), report.cosines, 0).mean(0)
        bar = {"title": {"text": "mean cosine", "side": "right"}, "thickness": 10}
        figure = go.Figure(go.Heatmap(z=mean, x=names, y=names, colorscale="RdBu_r", zmin=-1, zmax=1, colorbar=bar))
        figure.update_yaxes(autorange="reversed")
        return styled(figure, legend=False, bottom=84)
    figure = go.Figure()
    pairs = [(s, t) for s in range(len(tasks)) for t in range(s + 1, len(tasks))]
    for index, (s, t) in enumerate(pairs):
        # A pair is neither task: it gets the colours after theirs.
        name = f"{pretty(tasks[s])} · {pretty(tasks[t])}"
        _line(figure, labels, report.cosines[:, s, t], name, len(tasks) + index)
    figure.add_hline(y=0, line={"color": CHANCE, "width": 1})
    _depth_marks(figure, report.names)
    figure.update_yaxes(title="cosine of two tasks' Δ", range=[-1.05, 1.05])
    figure.update_xaxes(type="category", tickangle=-40, tickfont={"size": 10})
    return styled(figure, bottom=84).update_layout(height=320)


def short_names(names: Sequence[str]) -> list[str]:
    """Names of tensors without what all of them share: "encoder.0.1" for "trunk.encoder.0.1.0.weight"."""
    short = [name.removesuffix(".weight").removeprefix("trunk.").removeprefix("heads.") for name in names]
    unique = [name.removesuffix(".0") for name in short]
    return unique if len(set(unique)) == len(names) else short


def metric_text(metric: Metric, value: float) -> str:
    """A value in few digits: "95.5 %", "0.42 m"."""
    if not np.isfinite(value):
        return "–"
    return f"{100 * value:.0f} %" if metric.unit == "%" else f"{value:.2g} {metric.unit}".rstrip()


def _line(figure: go.Figure, x: Sequence[str], y: np.ndarray, name: str, index: int) -> None:
    figure.add_scatter(
        x=list(x),
        y=y,
        name=name,
        mode="lines+markers",
        line={"color": COLOURS[index % 8], "dash": DASHES[index % 6], "width": 2},
        marker={"symbol": MARKERS[index % 8], "size": 7},
        hovertemplate="%{x}: %{y:.3g}",
    )


def _depth_marks(figure: go.Figure, names: Sequence[str]) -> None:
    """Lines between encoder, decoder and heads, and their names."""
    start = 0
    for group, members in depth_groups(names).items():
        if start:
            figure.add_vline(x=start - 0.5, line={"color": CHANCE, "dash": "dot", "width": 1})
        middle = start + (len(members) - 1) / 2
        figure.add_annotation(
            x=middle,
            y=1,
            yref="paper",
            text=group.removesuffix(" layers"),
            showarrow=False,
            yanchor="top",
            opacity=0.75,
        )
        start += len(members)


def _axis(metric: Metric) -> str:
    unit = f" [{metric.unit}]" if metric.unit else ""
    return f"{metric.label}{unit} {'↑' if metric.higher_is_better else '↓'}"


def _bar_text(metric: Metric, value: float, forgotten: bool, cut: bool) -> str:
    number = metric_text(metric, value).removesuffix(metric.unit).rstrip()  # the title names the unit
    return ("> " if cut else "") + number + ("<br>✗" if forgotten else "")


def _ceiling(values: Sequence[float], limit: float, metric: Metric) -> float:
    """Where bars end: errors far out are cut a little beyond the limit, or they would flatten all others."""
    known = [value for value in values if np.isfinite(value)] or [1.0]
    if metric.higher_is_better:
        return max(*known, limit, 1e-9)
    return max(min(max(known), 1.8 * limit), 1e-9)


def _faded(colour: str, opacity: float) -> str:
    return "rgba({},{},{},{})".format(*rgb(colour), opacity)
