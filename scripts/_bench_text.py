"""How a person steers the shipped language model: milliseconds in headless Chromium, and the server's memory for it.

Also words per processor second at a λ, against the plain network's own ``generate``. Needs the base that ``make app``
installs.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from _cli import ROOT
from _drag import FRESH, RELEASED, _browser, _drag, _opened
from _measure import Figure
from _server import dashboard

MODEL = "authors"
DRAGS, LONG = 6, 1.2  # seconds of each
PATIENCE = 60_000  # ms


def measure(quick: bool) -> list[Figure]:
    """All figures."""
    return [*speed(16 if quick else 48), *steering(2 if quick else DRAGS)]


def steering(drags: int) -> list[Figure]:
    """Drag on one text after another, so that nothing was computed ahead, and let the text go on."""
    recoloured, first = [], []
    with dashboard() as (url, _), _browser() as browser:
        page = _opened(browser, f"{url}/?model=rooms")
        before = _memory(url)
        page.goto(f"{url}/?model={MODEL}")
        page.wait_for_selector(".p-joint[data-coloured]", timeout=PATIENCE)
        samples = page.locator(".p-gallery button")
        for number in range(drags):
            samples.nth(1 + number).click()
            page.wait_for_selector(".p-joint[data-coloured]", timeout=PATIENCE)
            page.evaluate(FRESH)
            _drag(page, LONG)
            page.wait_for_function("() => window.palora_first !== null", timeout=PATIENCE)
            times = page.evaluate(RELEASED)
            recoloured += times["drag"]
            first.append(times["first"])
        after = _memory(url)
    return [
        Figure(
            f"{MODEL}: drag → tokens recoloured, not computed ahead, median", statistics.median(recoloured), 250, "ms"
        ),
        Figure(f"{MODEL}: release → first word, median", statistics.median(first), 600, "ms"),
        Figure(f"{MODEL}: the server's memory for it", (after - before) / 2**30, 1.2, "GB"),
    ]


def _memory(url: str) -> int:
    """Resident bytes of the process that listens at an address."""
    port = f"{int(url.rsplit(':', 1)[1]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(row[9] for row in rows if row[1].endswith(f":{port}") and row[3] == "0A")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(f"socket:[{inode}]" == str(link.readlink()) for link in (process / "fd").iterdir()):
                status = (process / "status").read_text()
                return 1024 * int(status.split("VmRSS:")[1].split()[0])
        except OSError:
            continue
    raise RuntimeError(f"nobody listens at {url}")


def speed(words: int) -> list[Figure]:
    """Words per processor second of the server's way, over those of the merged network's ``generate``."""
    sys.path.insert(0, str(ROOT))
    from app.library.models import ModelRegistry
    from app.serving.precision import ServedNetwork
    from palora_core.serving.generation import Reading, Sampling, continuation

    loaded = ModelRegistry(ROOT / "trained_models", ROOT / "no runs").get(MODEL)
    served = ServedNetwork(loaded, loaded.example)
    while served.improve():
        pass
    at = torch.tensor([0.2, 0.5, 0.3])
    prompt: Any = loaded.going.excerpt(loaded.samples.batch(torch.tensor([0]))[0])["input_ids"]
    plain = loaded.model.merge(at).eval().to(served.network.dtype)
    how = {"do_sample": True, "temperature": 0.8, "top_p": 0.9, "pad_token_id": 0}

    def ours() -> None:
        reading = Reading(served.network, at, loaded.going.task.prediction_of)
        assert sum(token is not None for token in continuation(reading, prompt[0].tolist(), words, Sampling())) == words

    def theirs() -> None:
        plain.generate(prompt, max_new_tokens=words, min_new_tokens=words, **how)

    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(3):
        for name, function in (("ours", ours), ("theirs", theirs)):
            began = time.thread_time()
            function()
            times[name].append(time.thread_time() - began)
    ratio = statistics.median(times["ours"]) / statistics.median(times["theirs"])
    return [Figure(f"{MODEL}: time per word / the merged network's generate ({served.format})", ratio, 1 / 0.6)]
