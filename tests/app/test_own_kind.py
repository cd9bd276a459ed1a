"""A kind that a plugin brings in two files shows up on every page, in the report and in the one-file page."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from palora_core.registries import REGISTRIES
from palora_core.storage.runs import Run
from palora_core.training.setup import configure
from palora_core.training.trainer import Trainer
from tests.app.browsing import WAIT
from tests.app.pages import MAIN, open_on, spelt, texts
from tests.app.plugged import plugged
from tests.app.servers import running

FOLDER = Path(__file__).resolve().parents[1] / "own_kind"
BELL = re.compile(r"-?\d+\.\d\d ± \d+\.\d\d")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The plugin in this process, and a run that was trained with it."""
    with plugged(FOLDER, "bells"):
        root = tmp_path_factory.mktemp("bells")
        bench, method, options = configure("bells", "palora", {"samples": 3, "front_points": 3})
        Trainer(Run(root / "runs" / "bells-palora"), bench.problem(root), method, options, device="cpu").start()
        yield root


@pytest.fixture
def roots(trained, monkeypatch):
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(trained / "models"))
    monkeypatch.setenv("PALORA_RUNS", str(trained / "runs"))
    services.reset()
    yield services.services()
    services.reset()


MODEL = "run:bells-palora"


@pytest.mark.parametrize("page", ["explore", "probe"])
def test_pages_that_steer_know_the_kind(roots, page):
    app = open_on(page, model=MODEL)
    assert not app.exception and not app.error
    told = next(t for t in (json.loads(c.proto.json) for c in app.get("bidi_component")) if "tasks" in t)
    assert [(task["view"], task["pictured"]) for task in told["tasks"]] == [("bell", False)] * 2


def test_compare_shows_what_it_tells(roots):
    app = open_on("compare", model=MODEL)
    assert not app.exception and not app.error
    table = next(frame.value for frame in app.dataframe if "ground truth" in frame.value.columns)
    assert all(BELL.search(cell) for cell in table.iloc[:, 2]) and "exactly" in table["ground truth"][0]


def test_train_offers_its_benchmark(roots):
    app = open_on("train")
    assert not app.exception and any("Bells" in option for box in app.selectbox for option in box.options)


def test_answers_the_report_and_the_one_file_page_tell_it(roots):
    from app.exports.exporting import Exported
    from app.exports.report.compose import report
    from app.exports.standalone import build
    from app.pictures.scenes import make_scene

    loaded = roots.registry.get(MODEL)
    scene = make_scene(loaded, "sample-0", roots.uploads)
    with torch.inference_mode():
        answer = scene.draw(loaded.model(scene.x, torch.tensor([0.5, 0.5])), ()).header
    assert BELL.fullmatch(answer["values"]["first"]["rows"][0][1]) and set(answer["metrics"]["first"]) == {
        "rmse",
        "loss",
    }
    assert [what for what, _ in scene.describe().header["input"]["rows"]] == ["a", "b", "c"]
    page = report(roots, loaded, "sample-0", "sample 1", [0.5, 0.5]).decode()
    assert len(BELL.findall(page)) == 2 and "exactly" in page
    html = build.compose(loaded, Exported("x.onnx", b"", {"max_abs_difference_to_pytorch": 0.0}), b"", b"")
    config = json.loads(re.search(r'id="config">(.*?)</script>', html)[1])
    assert [task["view"] for task in config["tasks"]] == ["bell"] * 2
    assert config["samples"][0]["truth"]["first"]["rows"][0][1].startswith("exactly")


def test_a_row_of_ones_own_is_read_and_shown(roots):
    from app.pictures.scenes import make_scene, note

    loaded = roots.registry.get(MODEL)
    kind = loaded.input_view.input
    token = roots.uploads.put(kind.read(b"c,b,a\n3,2,1\n"), "mine.csv")
    scene = make_scene(loaded, token, roots.uploads)
    assert scene.x.tolist() == [[1, 2, 3]] and scene.describe().header["input"]["rows"][0] == ["a", "1"]
    assert "Your own row" in note(loaded, token, roots.uploads)


def test_views_that_fail_are_said_and_their_kind_is_numbers(roots, tmp_path, monkeypatch):
    from app import views
    from app.kinds import view_of

    (tmp_path / "bells_views.py").write_text(
        "from app.kinds import views\nviews.register('bell')(type('Mine', (), {}))\n1 / 0\n"
    )
    monkeypatch.delitem(sys.modules, "bells_views", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(views, "_tried", {})
    for registry in views._all:
        monkeypatch.setattr(registry, "_entries", {k: v for k, v in registry._entries.items() if k != "bell"})
    assert views.problems() == [
        "The views bells_views could not be loaded (ZeroDivisionError: division by zero); mend them."
    ]
    task = REGISTRIES["benchmark"].get("bells")().tasks[0]
    assert view_of(task).values(torch.tensor([1.0, 2.0])) == {"numbers": [1.0, 2.0]}
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    assert not app.exception and not app.error
    assert "bells_views could not be loaded" in spelt(texts(app.warning))


@pytest.mark.browser
def test_a_browser_shows_it_while_it_is_steered(trained, chromium, tmp_path):
    script = Path(__file__).with_name("serve.py")
    paths = os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {"PALORA_MODELS": str(trained / "models"), "PALORA_RUNS": str(trained / "runs"), "PYTHONPATH": paths}
    with running(lambda port: [sys.executable, str(script), port], tmp_path / "log.txt", **settings) as (address, _):
        page = chromium.new_page()
        page.set_default_timeout(WAIT)
        page.goto(f"{address}/?model={MODEL}&preference=0.5,0.5&sample=sample-0")
        page.wait_for_selector(".palora[data-painted='0.5 0.5']")
        assert page.locator(".p-told .p-row").count() == 3, "the row that it reads"
        words = [page.locator(f".p-panel[data-task={task}] .p-body").inner_text() for task in ("first", "second")]
        assert all(BELL.search(text) and "exactly" in text for text in words)
        page.locator(".p-pad").press("1")
        page.wait_for_selector(".palora[data-painted='1 0']")
        assert BELL.search(page.locator(".p-panel[data-task=first] .p-body").inner_text())
        page.close()
