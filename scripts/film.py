"""A short film of a drag, recorded from the dashboard: ``python scripts/film.py`` writes docs/screenshots/drag.webp."""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path

from _cli import ROOT, main

SIZE = 1180, 640  # pixels of the browser
WIDTH = 900  # of the film
SHOWN = """(preference) => {
    const node = document.querySelector('.palora');
    return node.dataset.painted === node.explorer.preference.join(' ');
}"""


def run() -> None:
    """Walk λ once around the pad, a picture at each of the steps."""
    parser = argparse.ArgumentParser(description="A film of a drag on the Explore page.")
    parser.add_argument("--model", default="rooms", help="a shipped model")
    parser.add_argument("--frames", type=int, default=36)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots" / "drag.webp")
    args = parser.parse_args()
    from _drag import CHROMIUM, FLAGS
    from _server import dashboard
    from playwright.sync_api import sync_playwright

    with dashboard() as (url, _), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport=dict(zip(("width", "height"), SIZE)))
        page.goto(f"{url}/?model={args.model}")
        page.wait_for_selector(".palora[data-painted]", timeout=120_000)
        page.locator(".palora").scroll_into_view_if_needed()
        page.evaluate("() => { document.querySelector('.palora').explorer.exact = true; }")
        pictures = [_frame(page, preference) for preference in walk(_tasks(page), args.frames)]
        browser.close()
    write(pictures, args.out)
    print(f"{args.out}: {len(pictures)} pictures, {args.out.stat().st_size / 1e6:.1f} MB")


def _tasks(page) -> int:
    return page.evaluate("() => document.querySelector('.palora').explorer.tasks.length")


def walk(tasks: int, frames: int) -> list[list[float]]:
    """λ's [frames, T] from corner to corner and back, slower at the corners."""
    path = []
    for frame in range(frames):
        leg, along = divmod(tasks * frame / frames, 1)
        share = (1 - math.cos(math.pi * along)) / 2
        point = [0.0] * tasks
        point[int(leg)], point[(int(leg) + 1) % tasks] = 1 - share, share
        path.append([round(value, 3) for value in point])
    return path


def _frame(page, preference: list[float]) -> bytes:
    page.evaluate("(p) => document.querySelector('.palora').explorer.set(p, performance.now())", preference)
    page.wait_for_function(SHOWN, timeout=30_000)
    return page.screenshot()


def write(pictures: list[bytes], path: Path) -> None:
    """All pictures as one animated WebP."""
    from PIL import Image

    frames = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    height = round(frames[0].height * WIDTH / frames[0].width)
    frames = [frame.resize((WIDTH, height), Image.Resampling.LANCZOS) for frame in frames]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=110, loop=0, quality=60, method=6)


if __name__ == "__main__":
    main(run)
