"""Screenshots of every page, light, dark, on a tablet and narrow, for docs: ``python scripts/screenshots.py``."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from _cli import ROOT, main

PAGES = ("explore", "compare", "probe", "train", "learn", "models")
# Further views, each in the light theme of a laptop only: name of the picture → address.
OTHERS = {
    "explore-fairness": "?model=fairness&preference=0.4,0.5,0.1",
    "explore-sounds": "?model=spoken_digits",
    "learn-forgetting": "learn?step=6",
    "learn-fairness": "learn?step=7",
}
VIEWS = {
    "light": ("light", 1366, 768),
    "dark": ("dark", 1366, 768),
    "tablet": ("light", 820, 1180),
    "narrow": ("light", 480, 900),
}
MEASURING = "() => !/Grid of step|^Measuring /m.test(document.querySelector('[data-testid=stMain]').innerText)"
# Parts that are still being fetched, and the explorer before its script is there.
WAITING = "[data-testid=stSkeleton], .stSkeleton, .p-pad:empty, .p-front:not([hidden]) .p-plot:empty"
DRAWN = f"() => !document.querySelector('{WAITING}')"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def run() -> None:
    parser = argparse.ArgumentParser(description="Screenshots of every page.")
    parser.add_argument("pages", nargs="*", help=f"default: {' '.join([*PAGES, *OTHERS])}")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    args = parser.parse_args()
    from _server import dashboard
    from playwright.sync_api import sync_playwright

    args.out.mkdir(parents=True, exist_ok=True)
    with dashboard() as (url, _), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=args.browser, args=FLAGS)
        for page in args.pages or (*PAGES, *OTHERS):
            if page in OTHERS:
                shot(browser, f"{url}/{OTHERS[page]}", args.out / f"{page}.png", "light", 1366, 1000)
                continue
            for view, (scheme, width, height) in VIEWS.items():
                address = f"{url}/{'' if page == 'explore' else page}"
                shot(browser, address, args.out / f"{page}-{view}.png", scheme, width, height)
        browser.close()


def shot(browser, address: str, path: Path, scheme: str, width: int, height: int) -> None:
    from playwright.sync_api import TimeoutError

    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(address)
    tab.wait_for_selector("[data-testid='stMain'] :is(h1, h2, .palora)", timeout=120_000)
    tab.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')", timeout=120_000)
    tab.wait_for_timeout(4_000)
    with contextlib.suppress(TimeoutError):  # below the fold a part may wait until it is scrolled to
        tab.wait_for_function(DRAWN, timeout=90_000)
    tab.wait_for_timeout(1_000)
    with contextlib.suppress(TimeoutError):  # a map that is still being refined is fine, one that has just begun is not
        tab.wait_for_function(MEASURING, timeout=90_000)
    tab.screenshot(path=str(path))
    context.close()
    print(path)


if __name__ == "__main__":
    main(run)
