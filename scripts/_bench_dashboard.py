"""Milliseconds from pointer event to new pixels, in headless Chromium on the shipped three-task model."""

from __future__ import annotations

import statistics

from _measure import Figure
from _server import dashboard

MODEL = "rooms"


def measure(quick: bool) -> list[Figure]:
    """Drag live, over the precomputed lattice, and in eight browsers at once."""
    from _drag import measure_drag, measure_many

    seconds = 3.0 if quick else 8.0
    with dashboard() as (url, start):
        page = f"{url}/?model={MODEL}"
        live = measure_drag(page, seconds)
        cached = measure_drag(page, seconds, live=False)
        many = [latency for session in measure_many(page, 8, seconds) for latency in session]
    return [
        Figure("dashboard: seconds until the server answers", start, 5.0, "s"),
        Figure(f"dashboard: drag → pixels on {MODEL}, live, median", statistics.median(live), 50, "ms"),
        Figure(f"dashboard: drag → pixels on {MODEL}, precomputed, median", statistics.median(cached), 20, "ms"),
        Figure("dashboard: eight browsers at once, 90th percentile", statistics.quantiles(many, n=10)[8], 150, "ms"),
    ]
