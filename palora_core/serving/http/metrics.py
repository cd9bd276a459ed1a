"""What a service did so far, in the text form that Prometheus reads."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class Metrics:
    """Counts of requests, items and seconds; used in the server's one event loop."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()  # by status
        self.items = 0
        self.waiting = 0
        self._seconds = 0.0
        self._slots = [0] * (len(BUCKETS) + 1)

    def answered(self, status: int, seconds: float, items: int = 0) -> None:
        """Count a request for a prediction."""
        self.requests[status] += 1
        self.items += items
        self._seconds += seconds
        self._slots[bisect_left(BUCKETS, seconds)] += 1

    def text(self) -> str:
        """All of them, in Prometheus' text format 0.0.4."""
        lines = [
            "# HELP palora_requests_total Requests for predictions by status.",
            "# TYPE palora_requests_total counter",
        ]
        lines += [f'palora_requests_total{{status="{status}"}} {n}' for status, n in sorted(self.requests.items())]
        lines += ["# HELP palora_items_total Items predicted.", "# TYPE palora_items_total counter"]
        lines += [f"palora_items_total {self.items}", "# HELP palora_waiting Requests in work or in line."]
        lines += ["# TYPE palora_waiting gauge", f"palora_waiting {self.waiting}"]
        lines += ["# HELP palora_request_seconds Time to answer.", "# TYPE palora_request_seconds histogram"]
        total = 0
        for limit, count in zip((*map(str, BUCKETS), "+Inf"), self._slots):
            total += count
            lines.append(f'palora_request_seconds_bucket{{le="{limit}"}} {total}')
        lines += [f"palora_request_seconds_sum {self._seconds:.6f}", f"palora_request_seconds_count {total}"]
        return "\n".join(lines) + "\n"
