"""Models of all further kinds of tasks and inputs on every page: texts, sounds, pictures with key points."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.app.browsing import WAIT, settle
from tests.app.pages import open_on
from tests.app.plugged import EVERY_KIND, PROBLEMS
from tests.app.servers import running


@pytest.fixture
def roots(every_kind, monkeypatch):
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(every_kind.models))
    monkeypatch.setenv("PALORA_RUNS", str(every_kind.runs))
    services.reset()
    yield services.services()
    services.reset()


@pytest.mark.parametrize("page", ["explore", "probe", "compare", "models"])
def test_every_page_shows_them(roots, page):
    for problem in PROBLEMS if page in ("explore", "compare") else PROBLEMS[:1]:
        app = open_on(page, model=f"run:{problem}")
        assert not app.exception and not app.error, (problem, page, app.exception, app.error)


@pytest.mark.slow
@pytest.mark.browser
def test_a_browser_steers_all_of_them(every_kind, chromium, tmp_path):
    script = Path(__file__).with_name("serve.py")
    paths = os.pathsep.join([str(EVERY_KIND), *filter(None, [os.environ.get("PYTHONPATH")])])
    places = {"PALORA_MODELS": str(every_kind.models), "PALORA_RUNS": str(every_kind.runs)}
    settings = {**places, "PYTHONPATH": paths}
    with running(lambda port: [sys.executable, str(script), port], tmp_path / "log.txt", **settings) as (address, _):
        for problem in PROBLEMS:
            page, said = chromium.new_page(viewport={"width": 1366, "height": 900}), []
            page.set_default_timeout(WAIT)
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.goto(f"{address}/?model=run:{problem}&sample=sample-0")
            page.wait_for_selector(".palora[data-painted]")
            page.locator(".p-pad").press("1")
            page.wait_for_function("() => document.querySelector('.palora').dataset.painted.startsWith('1 0')")
            shots = os.environ.get("PALORA_SHOTS")
            if shots:
                page.screenshot(path=f"{shots}/{problem}-explore.png")
            if problem == "reviews":
                type_a_text(page)
                if shots:
                    page.screenshot(path=f"{shots}/{problem}-own.png")
            for other in ("probe", "compare"):
                page.goto(f"{address}/{other}?model=run:{problem}")
                settle(page)
                page.wait_for_timeout(500)
                if shots:
                    page.screenshot(path=f"{shots}/{problem}-{other}.png", full_page=True)
                assert page.locator("[data-testid=stException]").count() == 0
            assert said == []
            page.close()


def type_a_text(page) -> None:
    """An own text, typed, is read by the network with its mask and stands in the input's panel."""
    page.get_by_role("button", name="Your text").click()
    page.get_by_label("Text", exact=True).fill("Great film, bad food!")
    page.get_by_role("button", name="Use it").click()
    page.wait_for_function("() => /great film/.test(document.querySelector('.p-told')?.innerText ?? '')")


def test_what_is_told_of_a_text_is_what_the_network_reads(roots):
    from app.pictures.scenes import make_scene

    loaded = roots.registry.get("run:reviews")
    kind = loaded.input_view.input
    token = roots.uploads.put(kind.read(b"Great film!"), "mine.txt")
    scene = make_scene(loaded, token, roots.uploads)
    assert scene.x["input_ids"].tolist() == [[4, 6, 1, 0, 0, 0]] and scene.x["attention_mask"].tolist() == [
        [1] * 3 + [0] * 3
    ]
    assert json.dumps(scene.describe().header["input"]) == json.dumps({"text": "great film ▢"})
