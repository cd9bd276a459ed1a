"""Model folders, the in-process app, one real server and one browser for all tests of the dashboard."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import palora_core as pc  # noqa: E402
from tests.app import toy  # noqa: E402
from tests.app.browsing import WAIT, settle  # noqa: E402
from tests.app.damage import complete  # noqa: E402
from tests.app.plugged import EVERY_KIND, PROBLEMS, plugged  # noqa: E402
from tests.app.servers import running  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser that stumbles is driven once more (and the summary says so); what fails twice fails."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def model_root(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return toy.make_all(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def run_root(model_root, tmp_path_factory) -> Path:
    """A run root with one finished run and one that has only begun."""
    root = tmp_path_factory.mktemp("runs")
    toy.make_model(root / "first", toy.Toy("dense", 2), "My run", samples=2)
    (root / "begun").mkdir()
    (root / "begun" / "config.json").write_text("{}")
    return root


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """Two complete folders of runs, of pictures and of classes, to be copied and spoilt."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("whole")
    for name, kind in (("dense", toy.Toy("dense", 3)), ("digits", toy.Toy("digits"))):
        complete(toy.make_model(root / name, kind, f"Toy {name}", samples=4))
    return root


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """An empty folder of runs, and no shipped models."""
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "none"))
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def no_keeper(monkeypatch):
    """Every page starts the thread that advances the queue; here it would outlive its test."""
    from app import jobs

    monkeypatch.setattr(jobs, "keep_queue", lambda: None)


@pytest.fixture
def roots(model_root, run_root, monkeypatch):
    """The app in this process on the toy models."""
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(model_root))
    monkeypatch.setenv("PALORA_RUNS", str(run_root))
    services.reset()
    yield services.services()
    services.reset()


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory):
    """Models of all further kinds of tasks and inputs, trained for a moment by ``pc.fit``."""
    from app.library.models import ModelRegistry

    root = tmp_path_factory.mktemp("every_kind")
    with plugged(EVERY_KIND, "every_kind"):
        for name in PROBLEMS:
            pc.fit(name, out=root / "runs" / name, epochs=1, lr=0.1, progress=False, samples=3, front_points=3)
        yield ModelRegistry(root / "models", root / "runs")


@pytest.fixture(scope="session")
def client():
    """A client of the app in this process, which starts but once in it."""
    from starlette.testclient import TestClient

    from app.app import app
    from tests.app.servers import HERE

    with TestClient(app, base_url=HERE) as client:
        yield client


@pytest.fixture(scope="session")
def language_root(tmp_path_factory) -> Path:
    """Folders of a tiny language model and of a model of pictures."""
    pytest.importorskip("transformers")
    from tests.app import tiny_language

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("languages")
    tiny_language.make(root / "tiny", scale=12.0)
    toy.make_model(root / "digits", toy.Toy("digits"), "Toy digits", points=3, samples=2)
    return root


@pytest.fixture
def languages(language_root, monkeypatch):
    """The app in this process on a tiny language model and one of pictures."""
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(language_root))
    monkeypatch.setenv("PALORA_RUNS", str(language_root / "none"))
    services.reset()
    yield services.services()
    services.reset()


@pytest.fixture(scope="session")
def server_log(tmp_path_factory) -> Path:
    """What the real server prints."""
    return tmp_path_factory.mktemp("server") / "log.txt"


@pytest.fixture(scope="session")
def served(model_root, run_root, server_log):
    """Address and process of a real server."""
    script = Path(__file__).with_name("serve.py")
    roots = {"PALORA_MODELS": str(model_root), "PALORA_RUNS": str(run_root), "OMP_WAIT_POLICY": "PASSIVE"}
    with running(lambda port: [sys.executable, str(script), port], server_log, **roots) as found:
        yield found


@pytest.fixture(scope="session")
def server(served) -> str:
    """Address of the real server."""
    return served[0]


@pytest.fixture(scope="session")
def chromium():
    """One headless browser."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, server):
    """Open a view in a session of its own and wait until its pictures are there."""
    contexts = []

    def open_(query: str, painted: bool = True, before=lambda page: None, **options):
        context = chromium.new_context(viewport={"width": 1366, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(WAIT)
        page = context.new_page()
        before(page)
        page.goto(f"{server}/?{query}")
        if painted:
            page.wait_for_selector(".palora[data-painted]")
            settle(page)
        return page

    yield open_
    for context in contexts:
        context.close()
