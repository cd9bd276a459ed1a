"""How long a drag takes from the pointer's event to painted pixels, in headless Chromium on a running dashboard.

``python scripts/_drag.py URL [--seconds 6] [--browsers 8]`` prints one line of JSON per measurement. The address may
carry ``?model=…``. "live" keeps the server from answering out of what it computed ahead.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
# Moves arrive at about the rate of a mouse.
PAUSE = 0.016

_READY = "() => document.querySelector('.palora[data-painted]')"
_RESET = """exact => {
    const { explorer } = document.querySelector('.palora');
    explorer.measuring.times = [];
    explorer.exact = exact; }"""
_TIMES = "() => document.querySelector('.palora').explorer.measuring.times.filter((time) => time.latency !== undefined)"
# From here on: latencies of λ's that nobody had computed, and when, after a release, a first word stands.
FRESH = """() => {
  const { explorer } = document.querySelector('.palora');
  explorer.measuring.times = [];
  window.palora_first = null;
  addEventListener('pointerup', () => {
    const released = performance.now(), words = document.querySelector('.p-now-text p');
    const seen = new MutationObserver(() => {
      if (words.textContent.replace('…', '').trim() && window.palora_first === null) {
        window.palora_first = performance.now() - released;
        seen.disconnect();
      }
    });
    seen.observe(words, { childList: true, characterData: true, subtree: true });
  }, { once: true, capture: true });
}"""
RELEASED = """() => {
  const { times } = document.querySelector('.palora').explorer.measuring;
  const fresh = times.filter((time) => time.latency !== undefined && !time.cached);
  return { first: window.palora_first, drag: fresh.map((time) => time.latency) };
}"""
# Several pages cannot be dragged by one driver at once: each moves its own handle, as a pointer event would.
_SELF_DRAG = """([period, exact]) => {
  const { explorer } = document.querySelector('.palora');
  const count = explorer.tasks.length;
  const phase = 6.28 * Math.random();
  explorer.measuring.times = [];
  explorer.exact = exact;
  window.palora_drag = setInterval(() => {
    const at = phase + performance.now() / 900;
    const raw = Array.from({ length: count }, (_, t) => 1.02 + Math.sin(at * (1 + 0.13 * t) + 6.28 * t / count));
    const sum = raw.reduce((a, b) => a + b, 0);
    explorer.set(raw.map((v) => v / sum), performance.now());
  }, period);
}"""


def measure_drag(url: str, seconds: float = 6.0, live: bool = True) -> list[float]:
    """Latencies in milliseconds of one real drag with the mouse, from pointer event to painted pixels.

    Args:
        url: address of a running dashboard.
        seconds: how long to drag.
        live: compute every λ anew; otherwise the grid that was computed ahead answers.
    """
    with _browser() as browser:
        page = _opened(browser, url)
        if not live:
            _wait_for_grid(page)
        page.evaluate(_RESET, live)
        _drag(page, seconds)
        return [time["latency"] for time in page.evaluate(_TIMES)]


def measure_many(url: str, browsers: int = 8, seconds: float = 6.0, live: bool = False) -> list[list[float]]:
    """Latencies of several sessions that drag at once, one list each."""
    with _browser() as browser:
        pages = [_opened(browser, url) for _ in range(browsers)]
        if not live:
            _wait_for_grid(pages[0])
        for page in pages:
            page.evaluate(_SELF_DRAG, [1000 * PAUSE * 2, live])
        pages[0].wait_for_timeout(1000 * seconds)
        for page in pages:
            page.evaluate("() => clearInterval(window.palora_drag)")
        return [[time["latency"] for time in page.evaluate(_TIMES)] for page in pages]


def summary(latencies: Sequence[float]) -> dict[str, float]:
    """Number, median and 90th percentile."""
    if len(latencies) < 2:
        return {"frames": len(latencies)}
    deciles = statistics.quantiles(latencies, n=10)
    return {
        "frames": len(latencies),
        "median_ms": round(statistics.median(latencies), 1),
        "p90_ms": round(deciles[8], 1),
        "min_ms": round(min(latencies), 1),
    }


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


def _opened(browser: Any, url: str) -> Any:
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    page.goto(url)
    page.wait_for_function(_READY, timeout=60_000)
    page.wait_for_selector(".p-plot .main-svg", timeout=60_000)
    page.wait_for_timeout(500)
    return page


def _wait_for_grid(page: Any, longest: float = 60.0) -> None:
    """Walk over the grid until everything on the way was computed ahead, or time is up."""
    deadline = time.monotonic() + longest
    while time.monotonic() < deadline:
        page.wait_for_timeout(2000)
        page.evaluate(_RESET, False)
        _drag(page, 1.5)
        times = page.evaluate(_TIMES)
        if times and all(time["cached"] for time in times):
            return


def _drag(page: Any, seconds: float) -> None:
    """Circle over the triangle, or go to and fro on the segment."""
    box = page.locator(".p-pad").bounding_box()
    flat = box["height"] < 0.5 * box["width"]
    centre = (box["x"] + box["width"] / 2, box["y"] + box["height"] * (46 / 70 if flat else 0.6))
    reach = (0.4 * box["width"], 0.0) if flat else (0.14 * box["width"], 0.2 * box["height"])
    page.mouse.move(*centre)
    page.mouse.down()
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        angle = 1.7 * passed
        page.mouse.move(centre[0] + reach[0] * math.sin(angle), centre[1] + reach[1] * math.cos(angle))
        time.sleep(PAUSE)
    page.mouse.up()
    page.wait_for_timeout(300)


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--browsers", type=int, default=8)
    options = parser.parse_args()
    print(json.dumps({"what": "live", **summary(measure_drag(options.url, options.seconds))}), flush=True)
    print(
        json.dumps({"what": "computed ahead", **summary(measure_drag(options.url, options.seconds, live=False))}),
        flush=True,
    )
    if options.browsers > 1:
        many = measure_many(options.url, options.browsers, options.seconds)
        fewest = min(len(latencies) for latencies in many)
        every = [latency for latencies in many for latency in latencies]
        print(json.dumps({"what": f"{options.browsers} browsers", "fewest_frames": fewest, **summary(every)}))


if __name__ == "__main__":
    main()
