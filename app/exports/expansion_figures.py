"""The paper's Figure 4: fronts that grew out of one checkpoint, by α and epoch by epoch.

``python -m app.exports.expansion_figures numbers.json``, as ``palora expand`` does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from palora_core.training.expansion import Growth

# Dark to bright with α, apart for colour-blind eyes too (stops of viridis, without its palest).
COLOURS = ("#440154", "#31688e", "#1f9e89", "#b5a113", "#d9622b", "#882255")
START = "#111111"


def limits(grown: Sequence[Growth]) -> list[tuple[float, float]]:
    """Ranges of the first two objectives that hold every front, with a margin."""
    points = np.concatenate([one.fronts.reshape(-1, one.fronts.shape[-1])[:, :2] for one in grown])
    low, high = points.min(0), points.max(0)
    margin = 0.06 * np.maximum(high - low, 1e-6)
    return list(zip((low - margin).tolist(), (high + margin).tolist()))


def picture(grown: Sequence[Growth], path: Path) -> None:
    """Final fronts by α at the top, all epochs side by side below; axes are losses of the first two tasks."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    epochs = len(grown[0].fronts)
    x_label, y_label = (f"{name.replace('_', ' ')}: loss" for name in grown[0].tasks[:2])
    figure = pyplot.figure(figsize=(2.5 * epochs, 7.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.55, 1))
    left, right = upper.subplots(1, 2, gridspec_kw={"width_ratios": (1.7, 1)})
    for one, colour in zip(grown, _colours(grown)):
        last = one.fronts[-1]
        left.plot(last[:, 0], last[:, 1], "-o", ms=4, lw=1.4, color=colour, label=f"α = {one.alpha:g}")
        right.plot(range(epochs), one.spread, "-o", ms=4, lw=1.4, color=colour)
    left.plot(*grown[0].start[:2], "o", ms=10, color=START, label="checkpoint", zorder=3)
    left.set(xlabel=x_label, ylabel=y_label, title="The front after the last epoch")
    left.legend(frameon=False)
    right.set(xlabel="epoch", ylabel="largest distance of two points", title="Spread", xticks=range(epochs))
    right.set_ylim(bottom=0)
    row = lower.subplots(1, epochs, sharex=True, sharey=True)
    (x_low, x_high), (y_low, y_high) = limits(grown)
    for epoch, axes in enumerate(np.atleast_1d(row)):
        for one, colour in zip(grown, _colours(grown)):
            axes.plot(one.fronts[epoch][:, 0], one.fronts[epoch][:, 1], "-o", ms=2.5, lw=1, color=colour)
        axes.plot(*grown[0].start[:2], "o", ms=6, color=START, zorder=3)
        axes.set(title="before training" if epoch == 0 else f"epoch {epoch}", xlabel=x_label)
        axes.set(xlim=(x_low, x_high), ylim=(y_low, y_high))
    np.atleast_1d(row)[0].set_ylabel(y_label)
    for axes in (left, right, *np.atleast_1d(row)):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def film(grown: Sequence[Growth], path: Path) -> None:
    """The same fronts with a slider over the epochs, in one page that needs no network."""
    import plotly.graph_objects as go

    def at(epoch: int) -> list[go.Scatter]:
        return [
            go.Scatter(
                x=one.fronts[epoch][:, 0],
                y=one.fronts[epoch][:, 1],
                mode="lines+markers",
                name=f"α = {one.alpha:g}",
                line={"color": colour},
                text=[", ".join(f"{value:.2f}" for value in row) for row in one.preferences],
                hovertemplate="λ = (%{text})<br>losses %{x:.4f}, %{y:.4f}",
            )
            for one, colour in zip(grown, _colours(grown))
        ]

    epochs = range(len(grown[0].fronts))
    x, y = grown[0].start[:2]
    start = go.Scatter(x=[x], y=[y], mode="markers", name="checkpoint", marker={"color": START, "size": 13})
    names = ["before training" if epoch == 0 else f"epoch {epoch}" for epoch in epochs]
    traces = list(range(len(grown)))
    frames = [go.Frame(data=at(epoch), traces=traces, name=name) for epoch, name in zip(epochs, names)]
    show = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate", "transition": {"duration": 250}}
    play = {**show, "frame": {"duration": 900, "redraw": False}, "fromcurrent": True}
    steps = [{"label": name, "method": "animate", "args": [[name], show]} for name in names]
    buttons = [{"label": "Play", "method": "animate", "args": [None, play]}]
    x_range, y_range = limits(grown)
    figure = go.Figure([*at(epochs[-1]), start], frames=frames)
    figure.update_layout(
        title="A front grows out of a checkpoint (validation losses)",
        xaxis={"title": f"{grown[0].tasks[0].replace('_', ' ')}: loss", "range": x_range},
        yaxis={"title": f"{grown[0].tasks[1].replace('_', ' ')}: loss", "range": y_range},
        template="simple_white",
        sliders=[{"steps": steps, "active": len(steps) - 1, "pad": {"t": 50}, "x": 0.12, "len": 0.88}],
        updatemenus=[{"type": "buttons", "buttons": buttons, "x": 0, "y": -0.12, "xanchor": "left", "yanchor": "top"}],
    )
    figure.write_html(path, include_plotlyjs=True)


def _colours(grown: Sequence[Growth]) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(len(grown))]


if __name__ == "__main__":
    numbers = Path(sys.argv[1])
    every = [Growth.from_json(one) for one in json.loads(numbers.read_text())]
    picture(every, numbers.with_suffix(".png"))
    film(every, numbers.with_suffix(".html"))
