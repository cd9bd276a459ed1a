"""Figures of fronts of one, three and more tasks: series and quantities in, plotly figure out; no Streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.components.fronts import name_of, style_of, styled, weights_of
from app.components.method_styles import preference_colours
from app.components.plain import in_figure
from app.components.quantities import Quantity
from app.library.series import Series

MOST_LINES = 120


def space(series: Sequence[Series], axes: Sequence[Quantity], coloured: bool = False) -> go.Figure:
    """Three quantities in 3-D."""
    figure = go.Figure()
    for one in series:
        style, front = style_of(one), one.mean
        colours = preference_colours(front.preferences.tolist()) if coloured and not one.single else style.colour
        figure.add_scatter3d(
            **{name: quantity.of(front) for name, quantity in zip("xyz", axes)},
            mode="markers",
            name=name_of(one),
            marker={"color": colours, "symbol": style.symbol_3d, "size": 7 if one.single else 4.5},
            customdata=weights_of(front.preferences),
            hovertemplate=f"{in_figure(one.name)}<br>λ = (%{{customdata}})<br>%{{x:.4g}} · %{{y:.4g}} · %{{z:.4g}}"
            "<extra></extra>",
        )
    scene = {f"{name}axis": {"title": {"text": quantity.title}} for name, quantity in zip("xyz", axes)}
    figure.update_layout(
        scene={**scene, "camera": {"eye": {"x": 1.75, "y": 1.75, "z": 1.0}, "center": {"x": 0, "y": 0, "z": -0.15}}}
    )
    return styled(figure)


def triangles(series: Sequence[Series], shown: Quantity, tasks: Sequence[str]) -> go.Figure:
    """One quantity over the simplex of three tasks, a triangle per front, all on one colour scale."""
    fronts = [one for one in series if not one.single][:4]
    count = max(1, len(fronts))
    figure = make_subplots(rows=1, cols=count, specs=[[{"type": "ternary"}] * count], horizontal_spacing=0.14 / count)
    for column, one in enumerate(fronts, start=1):
        front = one.mean
        figure.add_trace(
            go.Scatterternary(
                **dict(zip("abc", front.preferences.T)),
                mode="markers",
                name=in_figure(one.name),
                showlegend=False,
                marker={"size": 13, "symbol": "hexagon", "color": shown.of(front), "coloraxis": "coloraxis"},
                hovertemplate=f"{in_figure(one.name)}<br>λ = (%{{a:.2f}}, %{{b:.2f}}, %{{c:.2f}})<br>"
                f"{shown.label} %{{marker.color:.4g}}<extra></extra>",
            ),
            row=1,
            col=column,
        )
        corners = {f"{c}axis": {"title": t.replace("_", " "), "showticklabels": False} for c, t in zip("abc", tasks)}
        place = "ternary" if column == 1 else f"ternary{column}"
        figure.update_layout({place: {"sum": 1, "bgcolor": "rgba(0,0,0,0)", **corners}})
        x = sum(figure.layout[place].domain.x) / 2
        figure.add_annotation(
            text=f"<b>{in_figure(one.name)}</b>", x=x, y=1.12, xref="paper", yref="paper", showarrow=False
        )
    bar = {"title": {"text": shown.label, "side": "right"}, "thickness": 12}
    scale = "Viridis" if shown.metric.higher_is_better else "Viridis_r"
    figure.update_layout(coloraxis={"colorscale": scale, "colorbar": bar})
    return styled(figure).update_layout(showlegend=False, margin={"t": 60})


def parallel(series: Sequence[Series], axes: Sequence[Quantity]) -> go.Figure:
    """One axis per quantity, each scaled from the worst (bottom) to the best (top) of all that is shown."""
    figure = go.Figure()
    spans = [_span(series, quantity) for quantity in axes]
    names = [quantity.label for quantity in axes]
    for one in series:
        style, front = style_of(one), one.mean
        rows = np.linspace(0, len(front.preferences) - 1, min(MOST_LINES, len(front.preferences))).round().astype(int)
        values = np.stack([quantity.of(front)[rows] for quantity in axes], 1)
        scaled = np.stack([_scaled(values[:, i], *spans[i]) for i in range(len(axes))], 1)
        gap = [None]
        figure.add_scatter(
            x=[part for _ in rows for part in (*names, None)],
            y=[part for row in scaled.tolist() for part in (*row, *gap)],
            customdata=[part for row in values.tolist() for part in (*row, *gap)],
            mode="lines+markers" if one.single else "lines",
            name=name_of(one),
            line={"color": style.colour, "dash": style.dash, "width": 3 if one.single else 1.1},
            marker={"symbol": style.symbol, "size": 7},
            opacity=1 if one.single else max(0.35, min(0.9, 12 / len(rows))),
            hovertemplate=f"{in_figure(one.name)}<br>%{{x}}: %{{customdata:.4g}}<extra></extra>",
        )
    short = [f"{q.name.replace('_', ' ')}" for q in axes] if len(axes) > 6 else names
    figure.update_xaxes(tickvals=names, ticktext=short, tickangle=-45 if len(axes) > 6 else 0, showgrid=True)
    figure.update_yaxes(tickvals=[0, 1], ticktext=["worst", "best"], title=f"{axes[0].metric.label}  ·  better →")
    return styled(figure)


def strip(series: Sequence[Series], shown: Quantity) -> go.Figure:
    """One task: a row per method with the value of every seed."""
    figure = go.Figure()
    for one in series:
        style = style_of(one)
        figure.add_scatter(
            x=[value for front in one.fronts for value in shown.of(front).tolist()],
            y=[in_figure(one.name) for front in one.fronts for _ in front.preferences],
            mode="markers",
            name=name_of(one),
            marker={"color": style.colour, "symbol": style.symbol, "size": 13},
            hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        )
    figure.update_xaxes(title=shown.title)
    figure.update_yaxes(automargin=True)
    return styled(figure).update_layout(showlegend=False)


def simplex_key(tasks: Sequence[str]) -> go.Figure:
    """The key to colours by λ: a triangle for three tasks, a bar for two."""
    steps = 12
    if len(tasks) == 2:
        rows = [[1 - i / 40, i / 40] for i in range(41)]
        marker = {"color": preference_colours(rows), "size": 14, "symbol": "square"}
        figure = go.Figure(go.Scatter(x=[row[1] for row in rows], y=[0] * 41, mode="markers", marker=marker))
        figure.update_xaxes(tickvals=[0, 1], ticktext=[f"only {t.replace('_', ' ')}" for t in tasks], showgrid=False)
        figure.update_yaxes(visible=False)
        return styled(figure).update_layout(showlegend=False, height=70, margin={"t": 4, "b": 26, "l": 60, "r": 60})
    rows = [[a / steps, b / steps, (steps - a - b) / steps] for a in range(steps + 1) for b in range(steps + 1 - a)]
    marker = {"color": preference_colours(rows), "size": 9, "symbol": "hexagon"}
    figure = go.Figure(go.Scatterternary(**dict(zip("abc", zip(*rows))), mode="markers", marker=marker))
    corners = {f"{c}axis": {"title": t.replace("_", " "), "showticklabels": False} for c, t in zip("abc", tasks)}
    figure.update_layout(ternary={"sum": 1, "bgcolor": "rgba(0,0,0,0)", **corners})
    return styled(figure).update_layout(showlegend=False, height=210, margin={"t": 34, "b": 24, "l": 46, "r": 46})


def _span(series: Sequence[Series], quantity: Quantity) -> tuple[float, float]:
    """Worst and best value of a quantity over everything shown."""
    values = np.concatenate([quantity.of(one.mean) for one in series]) if series else np.array([])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return (low, high) if quantity.metric.higher_is_better else (high, low)


def _scaled(values: np.ndarray, worst: float, best: float) -> np.ndarray:
    return (values - worst) / (best - worst) if best != worst else np.full_like(values, 0.5)
