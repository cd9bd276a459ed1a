"""Figures of the Learn pages: data in, plotly figure out; no Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from app.components.training_figures import COLOURS, GREY, MARKERS, styled
from palora_core.evaluation.indicators import hypervolume, nondominated

BARE = {"displayModeBar": False}
LINE = {"color": "white", "width": 1}


def cost_bars(amounts: Mapping[str, int], title: str) -> go.Figure:
    """What each way of getting trade-offs costs; separate networks grey, mixed ones pink, adapters blue."""
    figure = go.Figure(
        go.Bar(
            x=list(amounts.values()),
            y=list(amounts),
            orientation="h",
            marker={"color": [COLOURS[6], COLOURS[3], COLOURS[0]][-len(amounts) :]},
            text=[f"{amount:,}" for amount in amounts.values()],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title=title, range=[0, 1.2 * max(amounts.values())])  # room for the longest bar's number
    return styled(figure, legend=False).update_layout(height=190, margin={"l": 230})


def growing_front(fronts: Sequence[Mapping[str, Any]], across: str, up: str) -> go.Figure:
    """A metric against another over ``front`` events, earlier ones pale; points take the weight of the first task."""
    figure = go.Figure()
    for event in fronts:
        last = event is fronts[-1]
        weights = [row[0] for row in event["preferences"]]
        order = np.argsort(weights)
        x, y = (np.array(event["metrics"][key], dtype=float)[order] for key in (across, up))
        look: dict[str, Any] = {"size": 10, "color": np.array(weights)[order], "colorscale": "Viridis", "line": LINE}
        figure.add_scatter(
            x=x,
            y=100 * y,
            mode="lines+markers" if last else "lines",
            line={"color": COLOURS[0] if last else GREY, "width": 2 if last else 1},
            marker=look if last else None,
            customdata=[f"({', '.join(f'{v:.2f}' for v in event['preferences'][k])})" for k in order],
            hovertemplate="λ = %{customdata}<br>gap %{x:.1f} points, accuracy %{y:.1f} %<extra></extra>",
        )
    figure.update_xaxes(title=f"← {across.partition('/')[0].replace('_', ' ')}, gap [points]", rangemode="tozero")
    figure.update_yaxes(title="accuracy [%] →")
    return styled(figure, legend=False).update_layout(height=340)


def span(front: Mapping[str, Any], across: str, up: str) -> str:
    """ "gap 0.4–15.7 points, accuracy 81.6–85.2 %" of a ``front`` event."""
    gaps, right = (np.array(front["metrics"][key], dtype=float) for key in (across, up))
    accuracy = f"accuracy {100 * np.nanmin(right):.1f}–{100 * np.nanmax(right):.1f} %"
    return f"gap {np.nanmin(gaps):.1f}–{np.nanmax(gaps):.1f} points, {accuracy}"


def toy_front(preferences: np.ndarray, losses: np.ndarray, ideal: np.ndarray, at: Sequence[float]) -> go.Figure:
    """The front a toy network reached next to the best possible one; ``at`` [2] are the losses at the chosen λ."""
    figure = go.Figure()
    figure.add_scatter(
        x=ideal[:, 0], y=ideal[:, 1], name="best possible", mode="lines", line={"color": GREY, "width": 6}
    )
    figure.add_scatter(
        x=losses[:, 0],
        y=losses[:, 1],
        name="this network",
        mode="lines+markers",
        line={"color": COLOURS[0], "width": 2},
        marker={"size": 8, "color": preferences[:, 0], "colorscale": "Viridis", "cmin": 0, "cmax": 1, "line": LINE},
        customdata=[f"({a:.2f}, {b:.2f})" for a, b in preferences],
        hovertemplate="λ = %{customdata}<br>L₁ = %{x:.3f}, L₂ = %{y:.3f}<extra></extra>",
    )
    marker = {"size": 15, "color": "#E8590C", "symbol": "diamond", "line": {"color": "white", "width": 2}}
    figure.add_scatter(x=[at[0]], y=[at[1]], name="chosen λ", mode="markers", marker=marker)
    top = 1.12 * float(max(ideal.max(), min(losses.max(), 2 * ideal.max())))
    figure.update_xaxes(title="← loss of task 1", range=[-0.04 * top, top])
    figure.update_yaxes(title="← loss of task 2", range=[-0.04 * top, top])
    return styled(figure).update_layout(height=340)


def toy_surfaces(surfaces: Mapping[str, np.ndarray]) -> go.Figure:
    """A toy network's answers over its inputs as small maps, with one scale for all."""
    limit = float(max(1e-6, *(np.quantile(np.abs(surface), 0.99) for surface in surfaces.values())))
    figure = make_subplots(rows=1, cols=len(surfaces), subplot_titles=list(surfaces), horizontal_spacing=0.03)
    for column, surface in enumerate(surfaces.values(), start=1):
        bar = {"thickness": 9, "title": {"text": "output", "side": "right"}}
        scale = {"colorscale": "RdBu_r", "zmin": -limit, "zmax": limit, "colorbar": bar}
        figure.add_heatmap(z=surface, **scale, showscale=column == len(surfaces), hoverinfo="z", row=1, col=column)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return styled(figure, legend=False, bottom=10).update_layout(height=210, margin={"l": 10, "t": 30})


def schedule_lines(taus: np.ndarray, annealed: np.ndarray, drawn: np.ndarray, names: tuple[str, str]) -> go.Figure:
    """Figure 2 of the paper: the first weight of every preference of a step, over training; random draws beside it.

    Args:
        taus: training times [S].
        annealed: preferences [S, M, 2] of the deterministic schedule.
        drawn: preferences [S, M, 2] of a random sampler.
        names: titles of the two panels.
    """
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=names, horizontal_spacing=0.05)
    for m in range(annealed.shape[1]):
        line = {"color": _along(m, annealed.shape[1]), "width": 2.5}
        figure.add_scatter(x=taus, y=annealed[:, m, 0], mode="lines", line=line, name=f"λ {m + 1}", row=1, col=1)
    marker = {"size": 5, "color": np.tile(np.arange(drawn.shape[1]), len(taus)), "colorscale": "Viridis"}
    x, y = np.repeat(taus, drawn.shape[1]), drawn[..., 0].ravel()
    figure.add_scatter(x=x, y=y, mode="markers", marker=marker, name="drawn", row=1, col=2)
    figure.update_traces(hovertemplate="τ = %{x:.2f}: λ₁ = %{y:.3f}<extra></extra>")
    figure.update_xaxes(title="training time τ", range=[-0.02, 1.02])
    figure.update_yaxes(range=[-0.04, 1.04])
    figure.update_yaxes(title="weight λ₁ of the first task", row=1, col=1)
    return styled(figure, legend=False).update_layout(height=360, margin={"t": 34})


def schedule_film(taus: Sequence[float], annealed: np.ndarray, drawn: np.ndarray, names: tuple[str, str]) -> go.Figure:
    """Figure 9 of the paper as a film: the preferences of a step on the triangle, with a slider over training.

    Args:
        taus: training times [S].
        annealed: preferences [S, M, 3] of the deterministic schedule.
        drawn: preferences [S, M, 3] of a random sampler.
        names: titles of the two panels.
    """
    figure = make_subplots(rows=1, cols=2, specs=[[{"type": "ternary"}] * 2], subplot_titles=names)

    def traces(step: int) -> list[go.Scatterternary]:
        rows = (annealed[step], drawn[step])
        return [_dots(row, COLOURS[0], 0) if k == 0 else _dots(row, COLOURS[1], 1) for k, row in enumerate(rows)]

    for column, trace in enumerate(traces(len(taus) // 2), start=1):
        figure.add_trace(trace, row=1, col=column)
    figure.frames = [go.Frame(name=f"{tau:.2f}", data=traces(s), traces=[0, 1]) for s, tau in enumerate(taus)]
    for place in ("ternary", "ternary2"):
        axes = {f"{a}axis": {"title": f"task {t}", "showticklabels": False} for t, a in enumerate("abc", start=1)}
        figure.update_layout({place: {"sum": 1, "bgcolor": "rgba(0,0,0,0)", **axes}})
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": f.name, "method": "animate", "args": [[f.name], still]} for f in figure.frames]
    slider = {"active": len(taus) // 2, "steps": steps, "currentvalue": {"prefix": "τ = "}, "x": 0.14, "len": 0.86}
    play = {"frame": {"duration": 120, "redraw": True}, "transition": {"duration": 0}, "fromcurrent": False}
    button = {"label": "▶ Play", "method": "animate", "args": [None, play]}
    menu = {"type": "buttons", "buttons": [button], "showactive": False, "x": 0, "y": -0.12, "xanchor": "left"}
    styled(figure, legend=False).update_layout(sliders=[slider | {"y": -0.02}], updatemenus=[menu])
    return figure.update_layout(height=440, margin={"t": 40, "l": 30, "r": 30, "b": 90})


def hypervolume_area(points: np.ndarray, reference: Sequence[float]) -> go.Figure:
    """The area that a front dominates up to a reference; dominated points are grey crosses.

    Args:
        points: losses [K, 2].
        reference: [2].
    """
    kept = nondominated(points)
    inside = points[kept & (points < np.asarray(reference)).all(1)]
    figure = go.Figure()
    if len(inside):
        corners = staircase(inside, reference)
        figure.add_scatter(
            x=corners[:, 0],
            y=corners[:, 1],
            fill="toself",
            fillcolor="rgba(0,114,178,0.22)",
            line={"color": COLOURS[0], "width": 1.5},
            mode="lines",
            name=f"hypervolume {hypervolume(points, reference):.3f}",
            hoverinfo="skip",
        )
    for chosen, name, marker in (
        (kept, "not dominated", {"size": 11, "color": COLOURS[0], "symbol": MARKERS[0], "line": LINE}),
        (~kept, "dominated: another point is better in both", {"size": 9, "color": "#808080", "symbol": "x"}),
    ):
        figure.add_scatter(x=points[chosen, 0], y=points[chosen, 1], mode="markers", name=name, marker=marker)
    star = {"size": 15, "color": "#E8590C", "symbol": "star", "line": LINE}
    figure.add_scatter(x=[reference[0]], y=[reference[1]], mode="markers", name="reference", marker=star)
    top = 1.08 * float(max(points.max(), *reference))
    figure.update_xaxes(title="← loss of task 1", range=[0, top])
    figure.update_yaxes(title="← loss of task 2", range=[0, top])
    return styled(figure).update_layout(height=420)


def staircase(points: np.ndarray, reference: Sequence[float]) -> np.ndarray:
    """Corners [N, 2] of the region that non-dominated points [K, 2] dominate, as a closed polygon."""
    ordered = points[points[:, 0].argsort()]
    corners = [(ordered[0, 0], reference[1])]
    for index, (x, y) in enumerate(ordered):
        following = ordered[index + 1, 0] if index + 1 < len(ordered) else reference[0]
        corners += [(x, y), (following, y)]
    return np.array([*corners, (reference[0], reference[1]), corners[0]])


def forgetting_bars(values: Mapping[str, Sequence[float]], trained: Sequence[str]) -> go.Figure:
    """Losses of both tasks of the toy network at λ's on and off the simplex; those off it are pale.

    Args:
        values: λ as text → losses [2].
        trained: which of them lie on the simplex.
    """
    figure = go.Figure()
    for t in range(2):
        opacity = [1.0 if name in trained else 0.55 for name in values]
        marker = {"color": COLOURS[t], "opacity": opacity, "pattern": {"shape": "/" if t else ""}}
        heights = [row[t] for row in values.values()]
        figure.add_bar(x=list(values), y=heights, name=f"task {t + 1}", marker=marker, hovertemplate="%{y:.3f}")
    figure.update_yaxes(title="loss ↓", type="log", dtick=1)
    return styled(figure).update_layout(barmode="group", height=330)


def as_array(rows: Sequence[Tensor]) -> np.ndarray:
    """Preferences of S steps [S, M, T]."""
    return np.stack([row.numpy() for row in rows])


def _dots(rows: np.ndarray, colour: str, index: int) -> go.Scatterternary:
    return go.Scatterternary(
        a=rows[:, 0],
        b=rows[:, 1],
        c=rows[:, 2],
        mode="markers",
        marker={"size": 11, "color": colour, "symbol": MARKERS[index], "line": LINE},
        hovertemplate="λ = (%{a:.2f}, %{b:.2f}, %{c:.2f})<extra></extra>",
    )


def _along(index: int, count: int) -> str:
    from app.pictures.palettes import VIRIDIS, ramp

    return "rgb({},{},{})".format(*ramp(VIRIDIS, 256)[round(225 * index / max(1, count - 1))])
