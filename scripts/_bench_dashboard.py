"""Milliseconds from pointer to pixels in headless Chromium, and the server's part of them, on a shipped model."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence

from _cli import ROOT
from _measure import Figure, interleaved
from _server import dashboard

MODEL, TASKS, SESSIONS = "rooms", 3, 8


def measure(quick: bool) -> list[Figure]:
    """Drag live, over the precomputed lattice, and eight at once: as browsers and as sockets that paint nothing."""
    from _drag import measure_drag, measure_many
    from _sockets import measure_sockets

    seconds = 3.0 if quick else 6.0
    figures = [] if quick else formats()
    with dashboard() as (url, start):
        page = f"{url}/?model={MODEL}"
        live = measure_drag(page, seconds)
        grid = measure_drag(page, seconds, live=False)

        def sockets(exact: bool) -> list[float]:
            began = measure_sockets(url, MODEL, TASKS, SESSIONS, seconds, exact)
            return [latency for session in began for latency in session]

        grid_sockets, live_sockets = sockets(False), sockets(True)
        browsers = [latency for session in measure_many(page, SESSIONS, seconds) for latency in session]
    return [
        *figures,
        Figure("dashboard: seconds until the server answers", start, 5.0, "s"),
        Figure(f"dashboard: drag → pixels on {MODEL}, live, median", statistics.median(live), 50, "ms"),
        Figure(f"dashboard: drag → pixels on {MODEL}, precomputed, median", statistics.median(grid), 20, "ms"),
        Figure(f"dashboard: {SESSIONS} browsers at once on this machine, 90th percentile", _p90(browsers), 150, "ms"),
        Figure(
            f"dashboard: {SESSIONS} sessions, the server's part, precomputed, 90th percentile",
            _p90(grid_sockets),
            150,
            "ms",
        ),
        Figure(
            f"dashboard: {SESSIONS} sessions, the server's part, live, 90th percentile", _p90(live_sockets), None, "ms"
        ),
    ]


def _p90(latencies: Sequence[float]) -> float:
    return statistics.quantiles(latencies, n=10)[8]


def formats() -> list[Figure]:
    """Merge + forward of the shipped models in the format that the dashboard chooses for them."""
    sys.path.insert(0, str(ROOT))
    import torch

    from app.library.models import ModelRegistry
    from app.serving.precision import ServedNetwork

    registry = ModelRegistry(ROOT / "trained_models", ROOT / "no runs")
    figures = []
    for name in ("rooms", "streets"):
        loaded = registry.get(name)
        served = ServedNetwork(loaded, loaded.example)
        exact = served.network
        while served.improve():
            time.sleep(0)
        x = loaded.example[:1]
        corners = torch.eye(loaded.num_tasks)
        plain = loaded.model.merge(corners[0]).eval()
        number = iter(range(10**6))

        def live(network, x=x, corners=corners, number=number) -> None:
            network(x, corners[next(number) % len(corners)])

        @torch.inference_mode()
        def base(plain=plain, x=x) -> None:
            plain(x)

        times = interleaved(
            {"plain": base, "exact": lambda n=exact: live(n), "served": lambda n=served.network: live(n)}, 15, 20
        )
        # The format served depends on the model: it is a note, since figures are kept by their names.
        kinds = {"exact": ("in fp32", "fp32"), "served": ("in bf16 as far as the pictures agree", served.format)}
        for variant, (how, what) in kinds.items():
            goal = 0.92 if what == "fp32" else 0.36
            ratio = times[variant].median_cpu / times["plain"].median_cpu
            label = f"{name}, {how}: merge + forward / plain forward"
            figures.append(Figure(label, ratio, goal, note=what))
    return figures
