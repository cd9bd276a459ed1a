import json
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.components import probe_figures as figures
from palora_core.evaluation import probing
from palora_core.evaluation.probing import AdapterReport, Plane
from palora_core.tasks import Classification, Depth, Metric
from tests.app.browsing import WAIT

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"


@pytest.fixture
def coarse(roots, monkeypatch):
    """The app on toy models, with maps of few points."""
    from app.analysis import probes

    monkeypatch.setattr(probes, "AUTOMATIC", 1.0)
    probes.maps._maps.clear()
    yield roots
    for probe in probes.maps._maps.values():
        probe.stop()
        probe.wait()
    probes.maps._maps.clear()


def open_probe(**parameters) -> AppTest:
    """The page after its map is measured."""
    from app.analysis.probes import maps

    app = AppTest.from_file(str(MAIN), default_timeout=280)
    for name, value in parameters.items():
        app.query_params[name] = value
    app.switch_page("pages/probe.py").run()
    for probe in maps._maps.values():
        probe.wait()
    return app.run()


def told(app: AppTest) -> dict:
    return json.loads(app.get("bidi_component")[0].proto.json)


def words(app: AppTest) -> str:
    return " ".join(e.value for kind in (app.info, app.error, app.caption, app.warning) for e in kind)


# -- figures -------------------------------------------------------------------------------------------------------
def test_bars_mark_what_is_forgotten():
    tasks = [Classification("left", 10), Depth("depth")]
    values = {
        "(1, 0)": {"left/accuracy": 0.9, "depth/abs_err": 1.0},
        "(0, 0)": {"left/accuracy": 0.1, "depth/abs_err": 90.0},
    }
    limits = [(0.1, 0.45), (3.0, 2.0)]
    figure = figures.preference_bars(tasks, [task.metrics[0] for task in tasks], values, limits, ["(1, 0)"])
    assert [list(bar.marker.pattern.shape) for bar in figure.data] == [["", "/"], ["", "/"]]
    assert figure.data[0].text[1].startswith("10") and "✗" in figure.data[0].text[1]
    assert figure.data[1].y[1] < 10 and figure.data[1].text[1].startswith("> 90"), "errors far out are cut, and say so"


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 7])
def test_figures_of_adapters(num_tasks):
    names = ("trunk.encoder.0.weight", "trunk.decoder.0.weight", "heads.a.0.weight")
    report = AdapterReport(names, np.ones((3, num_tasks)), np.full((3, num_tasks, num_tasks), np.nan))
    tasks = [f"t{i}" for i in range(num_tasks)]
    norms, cosines = figures.adapter_norms(report, tasks), figures.adapter_cosines(report, tasks)
    assert len(norms.data) == (num_tasks if num_tasks <= 4 else 1)
    assert len(cosines.data) == (num_tasks * (num_tasks - 1) // 2 if num_tasks <= 4 else 1)


def test_short_names_stay_different():
    assert figures.short_names(["trunk.0.weight", "heads.a.0.weight"]) == ["0", "a"]
    assert len(set(figures.short_names(["heads.a.0.weight", "heads.a.weight"]))) == 2


# -- maps ----------------------------------------------------------------------------------------------------------
def test_a_map_is_what_the_network_itself_gives(coarse):
    from app.analysis.probes import ProbeMap

    loaded = coarse.registry.get("digits")
    probe = ProbeMap(loaded, Plane.of(2))
    assert probe.layers() == [] and probe.named() == {}
    probe.start(finest=0.5)
    probe.wait()
    assert not probe.running and probe.problem is None and probe.complete == 0.5
    x, targets = loaded.samples.batch(torch.arange(4))
    with torch.no_grad():
        outputs = loaded.model(x, torch.tensor([1.0, -1.0]))
    expected = probing.score(outputs, targets, loaded.tasks)
    layers = probe.layers(losses=True)
    assert layers[0].values.shape == (9, 9)
    assert layers[1].values[2, 6] == pytest.approx(expected["right/loss"], rel=1e-4), "rows along the second weight"
    assert probe.named()["(1, −1)"]["right/loss"] == pytest.approx(expected["right/loss"], rel=1e-4)
    assert set(probe.named()) == set(probing.control_preferences(2) | probing.pseudo_preferences(2))


def test_gaps_are_filled_from_the_coarser_grid(coarse):
    from app.analysis.probes import ProbeMap

    probe = ProbeMap(coarse.registry.get("digits"), Plane.of(3))
    known = {place: 2 * place[0] - place[1] for place in probe.plane.points(1.0)}
    probe.complete, probe.step = 1.0, 0.5
    grid = probe._grid(known)
    ticks = probe.plane.ticks(0.5)
    assert grid.shape == (7, 7)
    for v, row in zip(ticks, grid):
        for u, value in zip(ticks, row):
            assert np.isnan(value) or value == pytest.approx(2 * u - v)
    assert np.isnan(grid[0, 0]) and np.isfinite(grid[4, 3])


def test_a_map_can_be_stopped_and_goes_on(coarse):
    from app.analysis.probes import ProbeMap

    probe = ProbeMap(coarse.registry.get("digits"), Plane.of(2))
    probe.stop()
    probe._measure_all(1.0, 60)
    assert probe.complete == 0 and probe.stopped and not probe._values
    probe.start(1.0)
    probe.wait()
    assert probe.complete == 1.0 and not probe.stopped
    spent = len(probe._values)
    probe.start(1.0)
    probe.wait()
    assert len(probe._values) == spent == 25


def test_what_goes_wrong_while_measuring_becomes_a_sentence(coarse, monkeypatch):
    from app.analysis import probes

    def broken(*_, **__):
        raise RuntimeError("no memory")

    monkeypatch.setattr(probes, "served", broken)
    probe = probes.ProbeMap(coarse.registry.get("digits"), Plane.of(2))
    probe.start()
    probe.wait()
    assert "could not be measured" in probe.problem and "no memory" in probe.problem


def test_colours_of_errors_end_near_the_limit():
    from app.analysis.probes import Layer
    from app.components.probe_plane import layer_data

    errors = Layer(
        Depth("d"), Metric("abs_err", "error", "m", False), np.array([[1.0, 5000.0], [np.nan, 2.0]]), 1, 3, 2
    )
    data = layer_data(errors)
    assert data["values"][1][0] is None and data["good"] == 1 and 2 < data["bad"] < 10
    flat = layer_data(Layer(Depth("d"), Metric("a", "a", "%", True), np.full((2, 2), 0.5), 0.5, 0, 0.25))
    assert flat["good"] != flat["bad"]


def test_few_items_say_how_uncertain_they_are(coarse):
    """± is 1.96 standard errors over parts of the items; a perfect score of n items is none of certainty."""
    from app.analysis.probes import ProbeMap

    probe = ProbeMap(coarse.registry.get("digits"), Plane.of(2))
    probe.start(1.0)
    probe.wait()
    model = coarse.registry.get("digits").model
    x, targets = probe._batch()
    centre = torch.tensor([0.5, 0.5])
    for layer in probe.layers():
        key, right = f"{layer.task.name}/accuracy", []
        for i in range(len(x)):
            one = {name: target[i : i + 1] for name, target in targets.items()}
            right.append(probing.measure(model, x[i : i + 1], one, [layer.task], centre)[key])
        expected = max(1.96 * np.std(right, ddof=1) / len(x) ** 0.5, 3 / len(x))
        assert layer.uncertainty == pytest.approx(expected)


def test_multimnist_is_measured_on_more_than_it_was_shipped_with():
    from app.library.models import ModelRegistry

    loaded = ModelRegistry(ROOT / "trained_models", ROOT / "no runs").get("multimnist")
    assert len(loaded.samples) == 16 and len(loaded.measured) == 256
    x, targets = loaded.measured.batch(torch.arange(256))
    assert x.shape[1:] == loaded.example.shape[1:] and set(targets) == {"top_left", "bottom_right"}
    found = probing.measure(loaded.model, x, targets, loaded.tasks, torch.tensor([0.5, 0.5]))
    evaluated = loaded.front.metrics["top_left/accuracy"][5]
    assert abs(found["top_left/accuracy"] - evaluated) < 0.04, "the same distribution as the evaluated split"
    rooms = ModelRegistry(ROOT / "trained_models", ROOT / "no runs").get("rooms")
    assert len(rooms.measured) == len(rooms.samples) - rooms.samples.chosen, "those that nobody chose"


# -- the page ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("model", "shown", "rows"), [("one", 1, 1), ("digits", 2, 5), ("three", 3, 4), ("seven", 2, 5), ("forty", 2, 5)]
)
def test_page_for_any_number_of_tasks(coarse, model, shown, rows):
    app = open_probe(model=model)
    assert not app.exception and not app.error
    data = told(app)
    assert len(data["tasks"]) == len(data["layers"]) == shown and len(data["layers"][0]["values"]) == rows
    assert len(data["preference"]) == data["plane"]["count"] and len(app.get("plotly_chart")) == 1
    assert " items" in words(app)


@pytest.mark.parametrize("section", ["Switch adapters off", "Inside the adapters"])
@pytest.mark.parametrize("model", ["digits", "two", "seven", "forty"])
def test_sections(coarse, model, section):
    app = open_probe(model=model)
    app.session_state["probe_section"] = section
    app.run()
    assert not app.exception and not app.error
    if section == "Switch adapters off":
        assert len(app.metric) == 2
    else:
        assert len(app.get("plotly_chart")) == 2


def test_buttons_send_the_marker_there(coarse):
    app = open_probe(model="digits")
    app.button(key="go(1, −1)").click().run()
    data = told(app)
    assert data["command"]["preference"] == [1.0, -1.0] and data["preference"] == [1.0, -1.0]
    assert data["address"]["preference"] == "1,-1"


def test_a_link_leads_off_the_simplex_and_is_clamped(coarse):
    assert told(open_probe(model="digits", preference="1,-1"))["preference"] == [1, -1]
    assert told(open_probe(model="digits", preference="9,-9"))["preference"] == [2, -2]


@pytest.mark.parametrize(("model", "sentence"), [("bare", "without samples"), ("damaged", "damaged")])
def test_unusable_models_give_a_sentence(coarse, model, sentence):
    app = open_probe(model=model)
    assert not app.exception and sentence in words(app) and not app.get("bidi_component")


def test_no_models_yet(tmp_path, monkeypatch):
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "nothing"))
    services.reset()
    app = open_probe()
    assert not app.exception and "no model to show yet" in words(app)
    services.reset()


# -- in a browser --------------------------------------------------------------------------------------------------
PLACE_OF_ZERO = """() => {
    const drawing = document.querySelector('[data-map=segmentation] svg');
    const { geometry } = document.querySelector('.probe').explorer;
    const box = drawing.getBoundingClientRect();
    const [x, y] = geometry.toDrawing([0, 0]);
    return [box.left + (x / geometry.width) * box.width, box.top + (y / geometry.height) * box.height];
}"""


@pytest.mark.browser
def test_probing_off_the_simplex_changes_the_picture(chromium, server):
    context = chromium.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    try:
        page.goto(f"{server}/")  # the pages are known by their names from the first visit on
        page.wait_for_selector("[data-testid=stSidebarNav]")
        page.goto(f"{server}/probe?model=two&preference=0.5,0.5")
        page.wait_for_selector(".probe[data-painted='0.5 0.5']")
        pixels = "() => document.querySelector('.probe').explorer.pixels('segmentation')"
        before = np.array(page.evaluate(pixels), dtype=np.uint8)
        page.get_by_role("button", name="(1, −1)").click()
        page.wait_for_selector(".probe[data-painted='1 -1']")
        after = np.array(page.evaluate(pixels), dtype=np.uint8)
        assert (before != after).mean() > 0.01
        assert "never trained on" in page.locator(".q-where").inner_text()
        painted = "() => document.querySelector('.probe').dataset.painted.split(' ').map(Number)"
        page.locator("[data-map=segmentation] svg").hover()  # waits until it moves no more
        page.mouse.click(*page.evaluate(PLACE_OF_ZERO))
        page.wait_for_function(f"() => ({painted})().every((v) => Math.abs(v) < 0.05)")
        page.locator("[data-map=segmentation] svg").focus()
        page.keyboard.press("Shift+ArrowRight")
        page.wait_for_function(f"() => ({painted})()[0] > 0.45")
    finally:
        context.close()
