"""Figures of fronts in the plane: series and quantities in, plotly figure out; no Streamlit here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.components import dominance
from app.components.method_styles import MethodStyle, group_style, method_style, preference_colours
from app.components.plain import in_figure
from app.components.quantities import Quantity
from app.library.series import Series
from palora_core.evaluation.front import Front
from palora_core.tasks import LOSS

# Names in a legend above the plot; more of them would take its height.
MOST_ABOVE = 8


def style_of(series: Series) -> MethodStyle:
    """Its colour, marker and dash."""
    if series.place is not None:
        return group_style(series.place)
    return method_style(series.method, series.variation, series.published)


def plane(
    series: Sequence[Series],
    x: Quantity,
    y: Quantity,
    reference: Sequence[float] | None = None,
    shaded: tuple[Series, Series] | None = None,
    coloured: bool = False,
) -> go.Figure:
    """Two quantities against each other: lines for fronts, points for single solutions, bands over seeds.

    Args:
        series: what is drawn.
        x: horizontal axis.
        y: vertical axis.
        reference: reference point [T]; needed for ``shaded``.
        shaded: two series of two tasks between which the hypervolume difference is filled (on losses only).
        coloured: colour points by λ instead of by method (T ≤ 3).
    """
    figure = go.Figure()
    if shaded and reference and len(reference) == 2 and x.metric is LOSS and y.metric is LOSS and x.task != y.task:
        for winner, other in (shaded, shaded[::-1]):
            figure.add_trace(_gain(winner, other, reference, x.task))
    for one in series:
        figure.add_traces(_in_plane(one, x, y, coloured))
    figure.update_xaxes(title=x.title, range=_extent(series, x))
    figure.update_yaxes(title=y.title, range=_extent(series, y))
    return styled(figure)


def _gain(winner: Series, other: Series, reference: Sequence[float], first_task: int) -> go.Scatter:
    rectangles = dominance.only_first(winner.mean.objectives, other.mean.objectives, reference)
    x, y = dominance.outline(rectangles, flipped=first_task == 1)
    return go.Scatter(
        x=x,
        y=y,
        fill="toself",
        mode="none",
        fillcolor=style_of(winner).faint(0.22),
        name=f"only {in_figure(winner.name)}",
        hoverinfo="skip",
        showlegend=bool(rectangles),
    )


def _in_plane(one: Series, x: Quantity, y: Quantity, coloured: bool, legend: bool = True) -> list[go.Scatter]:
    style, traces = style_of(one), []
    if one.single:
        return [_solution(one, x, y, style, legend)]
    two = one.mean.preferences.shape[1] == 2
    several = len(one.members) > 1 and one.aligned
    if several and two:
        traces.append(_band(one, x, y, style))
    fronts = [one.mean] if one.aligned else one.fronts
    for number, front in enumerate(fronts):
        rows = _ordered(front, x.task)
        # The points of more than two tasks have no order along which a band could run.
        bars = _bars(one, rows, x, y, style) if several and not two else {}
        colours = preference_colours(front.preferences[rows].tolist()) if coloured else style.colour
        traces.append(
            go.Scatter(
                x=x.of(front)[rows],
                y=y.of(front)[rows],
                mode="lines+markers" if two else "markers",
                name=name_of(one),
                legendgroup=one.name,
                showlegend=legend and number == 0,
                line={"color": style.colour, "dash": style.dash, "width": 2},
                marker={"color": colours, "symbol": style.symbol, "size": 9 if two else 8, "line": {"width": 1.2}},
                customdata=[
                    f"({weights}){told}"
                    for weights, told in zip(weights_of(front.preferences[rows]), objectives_told(front, rows))
                ],
                hovertemplate=_hover(in_figure(one.name), "λ = %{customdata}", x, y),
                **bars,
            )
        )
    return traces


def _solution(one: Series, x: Quantity, y: Quantity, style: MethodStyle, legend: bool) -> go.Scatter:
    """A single solution: its mean over seeds with the standard deviations as bars."""
    values = [np.array([float(q.of(front)[0]) for front in one.fronts]) for q in (x, y)]
    several = {}
    if len(one.members) > 1:
        looks = {"color": style.colour, "thickness": 1.2, "width": 3}
        several = {f"error_{axis}": {"array": [v.std(ddof=1)], **looks} for axis, v in zip("xy", values)}
    return go.Scatter(
        x=[values[0].mean()],
        y=[values[1].mean()],
        mode="markers",
        name=name_of(one),
        legendgroup=one.name,
        showlegend=legend,
        marker={"color": style.colour, "symbol": style.symbol, "size": 12, "line": {"width": 1.6}},
        customdata=objectives_told(one.mean, np.array([0])),
        hovertemplate=_hover(in_figure(one.name), "one solution for every λ%{customdata}", x, y),
        **several,
    )


def _bars(one: Series, rows: np.ndarray, x: Quantity, y: Quantity, style: MethodStyle) -> dict[str, Any]:
    """One standard deviation over seeds to each side, in both quantities."""
    looks = {"color": style.faint(0.35), "thickness": 1, "width": 0}
    spread = {f"error_{axis}": np.std([q.of(f)[rows] for f in one.fronts], 0, ddof=1) for axis, q in zip("xy", (x, y))}
    return {name: {"array": values, **looks} for name, values in spread.items()}


def _band(one: Series, x: Quantity, y: Quantity, style: MethodStyle) -> go.Scatter:
    """From one standard deviation better than the mean, in both quantities, to one worse."""
    rows = _ordered(one.mean, x.task)
    sides = []
    for quantity in (x, y):
        values = np.stack([quantity.of(front)[rows] for front in one.fronts])
        worse = values.std(0, ddof=1) * (-1 if quantity.metric.higher_is_better else 1)
        sides.append(np.concatenate([values.mean(0) - worse, (values.mean(0) + worse)[::-1]]))
    return go.Scatter(
        x=sides[0],
        y=sides[1],
        fill="toself",
        mode="none",
        fillcolor=style.faint(0.16),
        legendgroup=one.name,
        showlegend=False,
        hoverinfo="skip",
    )


def pairs(series: Sequence[Series], axes: Sequence[Quantity], coloured: bool = False) -> go.Figure:
    """Three quantities as three planes side by side."""
    places = [(0, 1), (0, 2), (1, 2)]
    figure = make_subplots(rows=1, cols=3, horizontal_spacing=0.09)
    for column, (i, j) in enumerate(places, start=1):
        for one in series:
            figure.add_traces(_in_plane(one, axes[i], axes[j], coloured, column == 1), rows=1, cols=column)
        figure.update_xaxes(title=axes[i].title, range=_extent(series, axes[i]), col=column)
        figure.update_yaxes(title=axes[j].title, range=_extent(series, axes[j]), col=column)
    return styled(figure)


def styled(figure: go.Figure) -> go.Figure:
    """Size, margins, and a legend above the plot (beside it if it is long); fonts and colours follow the theme."""
    named = sum(trace.showlegend is not False and bool(trace.name) for trace in figure.data)
    beside = named > MOST_ABOVE
    above = {"orientation": "h", "y": 1.03, "yanchor": "bottom", "x": 0, "itemsizing": "constant"}
    legend = {"orientation": "v", "y": 1, "x": 1.02, "itemsizing": "constant"} if beside else above
    margin = {"l": 64, "r": 44, "t": 44 if beside else 30, "b": 50}
    # The toolbar goes where the legend is not.
    tools = {"orientation": "h" if beside else "v", "bgcolor": "rgba(0,0,0,0)"}
    figure.update_layout(height=440, margin=margin, legend=legend, modebar=tools, hovermode="closest")
    return figure.update_layout(showlegend=True, uirevision="keep")


def _ordered(front: Front, task: int) -> np.ndarray:
    """Along the weight of a task, so that a line follows λ."""
    return np.argsort(front.preferences[:, task], kind="stable")


def weights_of(preferences: np.ndarray) -> list[str]:
    """λ's [K, T] as texts, at most six numbers of each."""
    texts = [", ".join(f"{w:.2f}" for w in row[:6]) for row in preferences.tolist()]
    return [text + ", …" for text in texts] if preferences.shape[1] > 6 else texts


def objectives_told(front: Front, rows: np.ndarray) -> list[str]:
    """All losses of points, for what is shown beside the pointer: a line each, six at most."""
    names = [in_figure(name.replace("_", " ")) for name in front.tasks[:6]]
    return [
        "".join(f"<br>{name} loss {value:.4g}" for name, value in zip(names, row))
        for row in front.objectives[rows].tolist()
    ]


def name_of(one: Series) -> str:
    """Its name in a legend."""
    alone = len(one.members) == 1 or one.published
    name = in_figure(one.name)
    return name if alone else f"{name}, {len(one.members)} {'seeds' if one.place is None else 'runs'}"


def _hover(name: str, where: str, x: Quantity, y: Quantity) -> str:
    axes = [(q, axis) for q, axis in ((x, "x"), (y, "y")) if q.metric is not LOSS]  # losses are told with all others
    return "<br>".join([name, where, *(f"{q.label} %{{{axis}:.4g}}" for q, axis in axes)]) + "<extra></extra>"


def _extent(series: Sequence[Series], quantity: Quantity) -> list[float] | None:
    """A range that shows all values; losses beyond the hypervolume's reference, which counts none of them, run out."""
    fronts = [front for one in series for front in one.fronts]
    values: Any = np.concatenate([quantity.of(front) for front in fronts]) if fronts else np.array([])
    values = values[np.isfinite(values)]
    if quantity.metric is LOSS and fronts:
        inside = values[values <= max(front.reference[quantity.task] for front in fronts)]
        values = inside if len(inside) else values
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    margin = 0.07 * (high - low) or 0.05 * abs(high) or 0.5
    return [low - margin, high + margin]
