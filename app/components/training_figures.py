"""Figures of a training run: data in, plotly figure out; no Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

# Okabe and Ito's colours, as in the theme; tasks differ in their dashes as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B", "#8C5A2B")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "diamond", "cross", "triangle-up", "x", "star", "hexagon")
GREY = "rgba(128,128,128,0.35)"
MAX_POINTS = 600

Events = Sequence[Mapping[str, Any]]


def loss_curves(events: Events, tasks: Sequence[str], logarithmic: bool = True) -> go.Figure:
    """Training loss of every task, the mean over the M preferences of a step, against the step."""
    steps = thin([e for e in events if e["kind"] == "step"])
    figure = go.Figure()
    for t, task in enumerate(tasks):
        figure.add_scatter(
            x=[e["step"] for e in steps],
            y=[e["losses"][t] for e in steps],
            name=pretty(task),
            mode="lines" if len(steps) > 1 else "markers",
            line={"color": COLOURS[t % 8], "dash": DASHES[t % 6], "width": 2},
            hovertemplate="step %{x}: %{y:.4g}",
        )
    figure.update_xaxes(title="step")
    ticks = [digit * 10.0**power for power in range(-6, 6) for digit in (1, 2, 5)]
    labels = {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]} if logarithmic else {}
    figure.update_yaxes(title="training loss, mean over λ", type="log" if logarithmic else "linear", **labels)
    return styled(figure)


def schedule(preferences: Sequence[Sequence[float]], tasks: Sequence[str]) -> go.Figure:
    """The M preferences of one step on the simplex: a segment for T = 2, a triangle for T = 3, bars for any T."""
    if len(tasks) == 3:
        return _ternary(preferences, tasks)
    if len(tasks) == 2:
        return _segment(preferences, tasks)
    figure = go.Figure()
    for t, task in enumerate(tasks):
        rows = [f"λ {m + 1}" for m in range(len(preferences))]
        weights = [row[t] for row in preferences]
        figure.add_bar(y=rows, x=weights, name=pretty(task), orientation="h", marker_color=COLOURS[t % 8])
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="weight of each task", range=[0, 1])
    return styled(figure, legend=len(tasks) <= 8)


def _segment(preferences: Sequence[Sequence[float]], tasks: Sequence[str]) -> go.Figure:
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 0], mode="lines", line={"color": GREY, "width": 6}, hoverinfo="skip")
    figure.add_scatter(
        x=[row[1] for row in preferences],
        y=[0] * len(preferences),
        mode="markers",
        marker={"size": 15, "color": COLOURS[0], "line": {"color": "white", "width": 1.5}},
        customdata=[[f"({row[0]:.3f}, {row[1]:.3f})"] for row in preferences],
        hovertemplate="λ = %{customdata[0]}<extra></extra>",
    )
    figure.update_xaxes(
        range=[-0.12, 1.12],
        tickvals=[0, 0.5, 1],
        ticktext=[pretty(tasks[0]), "centre", pretty(tasks[1])],
        ticklabeloverflow="allow",
    )
    figure.update_yaxes(visible=False, range=[-1, 1])
    return styled(figure, legend=False)


def _ternary(preferences: Sequence[Sequence[float]], tasks: Sequence[str]) -> go.Figure:
    corners = dict(zip("abc", zip(*preferences))) if preferences else {}
    figure = go.Figure()
    figure.add_scatterternary(
        **corners,
        mode="markers",
        marker={"size": 12, "color": COLOURS[0], "line": {"color": "white", "width": 1.5}},
        hovertemplate="λ = (%{a:.3f}, %{b:.3f}, %{c:.3f})<extra></extra>",
    )
    axes = {f"{c}axis": {"title": pretty(task), "showticklabels": False} for c, task in zip("abc", tasks)}
    figure.update_layout(ternary={"sum": 1, "bgcolor": "rgba(0,0,0,0)", **axes})
    return styled(figure, legend=False)


def front_film(fronts: Events, tasks: Sequence[str], across: int = 0, up: int = 1) -> go.Figure:
    """The validation front of every evaluated epoch as frames with a slider; the newest one is shown first.

    Args:
        fronts: ``front`` events.
        tasks: task names.
        across: task on the horizontal axis.
        up: task on the vertical axis.
    """
    figure = go.Figure()
    if not fronts:
        return styled(figure, legend=False)
    across, up = min(across, len(tasks) - 1), min(up, len(tasks) - 1)
    newest = fronts[-1]
    for event in thin(fronts[:-1], 12):
        figure.add_scatter(
            **_points(event, across, up), mode="lines", line={"color": GREY, "width": 1}, hoverinfo="skip"
        )
    figure.add_scatter(**_front(newest, tasks, across, up))
    moving = len(figure.data) - 1
    figure.frames = [
        go.Frame(name=str(e["epoch"]), data=[go.Scatter(**_front(e, tasks, across, up))], traces=[moving])
        for e in fronts
    ]
    if len(fronts) > 1:
        figure.update_layout(sliders=[_slider(fronts)], updatemenus=[_play()])
    figure.update_xaxes(title=f"← {pretty(tasks[across])} loss", range=_extent(fronts, across))
    figure.update_yaxes(title=f"← {pretty(tasks[up])} loss", range=_extent(fronts, up))
    return styled(figure, legend=False, bottom=96 if len(fronts) > 1 else 44)


def _extent(fronts: Events, task: int) -> list[float] | None:
    """A range in which the newest front fills a third or more; earlier ones may begin outside of it."""
    newest = [row[task] for row in fronts[-1]["objectives"] if row[task] is not None]
    every = [row[task] for event in fronts for row in event["objectives"] if row[task] is not None]
    if not newest:
        return None
    low, high = min(newest), max(newest)
    room = 2 * (high - low) or 0.1 * abs(high) or 1.0
    margin = 0.15 * (high - low) or 0.05 * abs(high) or 0.5
    return [max(min(every), low - room) - margin, min(max(every), high + room) + margin]


def _points(event: Mapping[str, Any], across: int, up: int) -> dict[str, Any]:
    # Along the first preference weight, so that the line follows the front and not the order of evaluation.
    rows = sorted(zip(event["preferences"], event["objectives"]), key=lambda pair: pair[0][across])
    return {"x": [o[across] for _, o in rows], "y": [o[up] for _, o in rows]}


def _front(event: Mapping[str, Any], tasks: Sequence[str], across: int, up: int) -> dict[str, Any]:
    rows = sorted(event["preferences"], key=lambda row: row[across])
    return {
        **_points(event, across, up),
        "mode": "lines+markers" if len(tasks) == 2 else "markers",
        "line": {"color": COLOURS[0], "width": 2},
        "marker": {
            "size": 10,
            "color": [row[across] for row in rows],
            "colorscale": "Viridis",
            "cmin": 0,
            "cmax": 1,
            "colorbar": {"title": {"text": f"λ {pretty(tasks[across])}", "side": "right"}, "thickness": 10},
        },
        "customdata": [[", ".join(f"{value:.2f}" for value in row)] for row in rows],
        "hovertemplate": "λ = (%{customdata[0]})<br>%{x:.4g} · %{y:.4g}<extra></extra>",
    }


def _slider(fronts: Events) -> dict[str, Any]:
    instant = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    steps = [{"label": str(e["epoch"]), "method": "animate", "args": [[str(e["epoch"])], instant]} for e in fronts]
    place = {"x": 0.3, "len": 0.7, "y": -0.16, "pad": {"t": 18, "b": 0}}
    return {
        "active": len(fronts) - 1,
        "currentvalue": {"prefix": "epoch ", "xanchor": "right"},
        "steps": steps,
        **place,
    }


def _play() -> dict[str, Any]:
    options = {"frame": {"duration": 350, "redraw": False}, "transition": {"duration": 200}, "fromcurrent": False}
    button = {"label": "▶ Play", "method": "animate", "args": [None, options]}
    place = {"x": 0.0, "y": -0.2, "xanchor": "left", "yanchor": "top", "pad": {"t": 12}}
    return {"type": "buttons", "showactive": False, "buttons": [button], **place}


def hypervolume_curve(fronts: Events) -> go.Figure:
    """Hypervolume of the validation fronts against the epoch."""
    figure = go.Figure()
    line = {"color": COLOURS[2], "width": 2}
    x, y = [e["epoch"] for e in fronts], [e["hypervolume"] for e in fronts]
    figure.add_scatter(x=x, y=y, mode="lines+markers", line=line, hovertemplate="epoch %{x}: %{y:.4f}<extra></extra>")
    figure.update_xaxes(title="epoch", rangemode="tozero")
    figure.update_yaxes(title="hypervolume →", nticks=5)
    return styled(figure, legend=False)


def thin(events: Events, most: int = MAX_POINTS) -> list[Mapping[str, Any]]:
    """At most about ``most`` of the events, evenly, the last one always among them."""
    every = max(1, -(-len(events) // most))
    return [e for i, e in enumerate(events) if i % every == 0 or i == len(events) - 1]


def styled(figure: go.Figure, legend: bool = True, bottom: int = 44) -> go.Figure:
    """Margins, size, and a legend above the plot; fonts and colours follow the page's theme."""
    above = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    figure.update_layout(margin={"l": 60, "r": 14, "t": 34 if legend else 14, "b": bottom}, height=300, legend=above)
    figure.update_layout(showlegend=legend, uirevision="keep", hovermode="closest")
    return figure


def pretty(task: str) -> str:
    """A task's name for people."""
    return task.replace("_", " ")
