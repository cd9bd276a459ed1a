"""A front as a still drawing: two of its objectives, the evaluated λ's as points, and where the view stands."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from app.analysis.queries import interpolate, on_simplex
from palora_core.evaluation.front import Front

WIDTH, HEIGHT = 380, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 48
TICKS = 5


def front_svg(
    front: Front,
    preference: Sequence[float],
    names: Sequence[str],
    across: int,
    up: int,
    candidates: Sequence[tuple[str, Sequence[float]]] = (),
) -> str:
    """Losses of the tasks ``across`` and ``up``; dominated points are hollow, the diamond is λ (interpolated).

    Args:
        front: the evaluated front, T ≥ 2.
        preference: λ [T]; off the simplex no diamond is drawn.
        names: task names for people.
        across: task on the horizontal axis.
        up: task on the vertical axis.
        candidates: (name, λ [T]) of others to mark.
    """
    points = front.objectives[:, [across, up]]
    here = interpolate(front.preferences, points, [list(preference)])[0] if on_simplex(preference) else None
    drawn = np.vstack([points, here]) if here is not None else points
    low, high = np.nanmin(drawn, 0), np.nanmax(drawn, 0)
    margin = np.where(high > low, 0.08 * (high - low), np.maximum(0.05 * np.abs(high), 0.05))
    low, high = low - margin, high + margin

    def place(point: np.ndarray) -> tuple[float, float]:
        x, y = (point - low) / (high - low)
        return LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)

    parts = [*_axis(low[0], high[0], upright=False), *_axis(low[1], high[1], upright=True)]
    if points.shape[0] > 1 and front.preferences.shape[1] == 2:
        order = front.preferences[:, 1].argsort()
        line = " ".join("{:.1f},{:.1f}".format(*place(point)) for point in points[order])
        parts.append(f'<polyline class="line" points="{line}" />')
    for point, good, row in zip(points, front.nondominated(), front.preferences):
        x, y = place(point)
        told = ", ".join(f"{v:.2f}" for v in row[:6])
        title = f"<title>λ = ({told}): {point[0]:.4g}, {point[1]:.4g}</title>"
        parts.append(
            f'<circle class="{"point" if good else "beaten"}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>'
        )
    for name, at in candidates:
        if on_simplex(at):
            x, y = place(interpolate(front.preferences, points, [list(at)])[0])
            told = html.escape(name)
            letter = f'<text x="{x:.1f}" y="{y + 4:.1f}">{html.escape(name[:1])}</text>'
            circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" />'
            parts.append(f'<g class="candidate">{circle}{letter}<title>{told}</title></g>')
    if here is not None:
        x, y = place(here)
        parts.append(f'<path class="here" d="M{x:.1f} {y - 9:.1f}l9 9l-9 9l-9 -9z"><title>this view</title></path>')
    labels = [html.escape(f"{names[t]} loss") for t in (across, up)]
    middle = TOP + (HEIGHT - TOP - BOTTOM) / 2
    parts.append(
        f'<text x="{LEFT + (WIDTH - LEFT - RIGHT) / 2}" y="{HEIGHT - 8}" class="title">← better · {labels[0]}</text>'
    )
    parts.append(f'<text transform="translate(14 {middle}) rotate(-90)" class="title">← better · {labels[1]}</text>')
    label = f"Front over {labels[0]} and {labels[1]}, {len(points)} points; the diamond is this view."
    return f'<svg class="front" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _axis(low: float, high: float, upright: bool) -> list[str]:
    """Grid lines with numbers at round values."""
    parts = []
    for value in _round_values(low, high):
        share = (value - low) / (high - low)
        if upright:
            y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" />')
            parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{y + 4:.1f}">{value:.4g}</text>')
        else:
            x = LEFT + share * (WIDTH - LEFT - RIGHT)
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" />')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{value:.4g}</text>')
    return parts


def _round_values(low: float, high: float) -> list[float]:
    """About five multiples of 1, 2 or 5 times a power of ten between two numbers."""
    rough = (high - low) / TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough)
    first = np.ceil(low / step)
    return [float(k * step) for k in np.arange(first, np.floor(high / step) + 1)]
