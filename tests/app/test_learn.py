import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.analysis import toys
from app.components.learn import figures
from app.components.toy_drag import GRID, toy_data
from palora_core.evaluation.indicators import hypervolume
from palora_core.networks.lenet import lenet
from palora_core.networks.segnet import segnet

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"
LESSONS = ROOT / "app" / "lessons"


@pytest.fixture(scope="module")
def toy():
    torch.set_num_threads(1)
    return toys.train_toy(steps=120)


# -- toys ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("concave", [False, True])
def test_gradients_of_the_bowls(concave):
    bowls, step = toys.Bowls(concave), 1e-5
    for x in np.random.default_rng(0).uniform(-1.5, 1.5, (5, 2)):
        shifts = step * np.eye(2)
        numeric = [(bowls.objectives(x + s) - bowls.objectives(x - s)) / (2 * step) for s in shifts]
        assert np.allclose(bowls.gradients(x), np.array(numeric).T, atol=1e-6)


@pytest.mark.parametrize("concave", [False, True])
def test_no_point_dominates_the_known_front(concave):
    bowls = toys.Bowls(concave)
    front = bowls.front()
    everywhere = bowls.objectives(np.random.default_rng(0).uniform(-1.6, 1.6, (4000, 2)))
    better = (everywhere[:, None] < front[None] - 1e-9).all(-1)
    assert not better.any()
    middle, ends = front[50], (front[0] + front[-1]) / 2
    assert (middle.sum() > ends.sum()) == concave, "the middle lies above the line between the ends"


def test_common_descent_lowers_both_and_vanishes_on_the_set():
    bowls = toys.Bowls()
    for x in np.random.default_rng(1).uniform(-1.5, 1.5, (20, 2)):
        direction = toys.common_descent(bowls.gradients(x))
        assert (bowls.gradients(x) @ direction <= 1e-9).all()
    on_the_set = 0.3 * toys.MINIMA[0] + 0.7 * toys.MINIMA[1]
    assert np.allclose(toys.common_descent(bowls.gradients(on_the_set)), 0, atol=1e-12)


def test_the_browser_is_told_tables():
    data = toy_data(toys.Bowls())
    assert len(data["objectives"]) == len(data["gradients"]) == GRID**2
    ticks = np.linspace(-data["extent"], data["extent"], GRID)
    expected = toys.Bowls().objectives(np.array([ticks[7], ticks[30]]))
    assert np.allclose(data["objectives"][30 * GRID + 7], expected, atol=1e-4), "rows along the second coordinate"
    json.dumps(data, allow_nan=False)


def test_the_toy_reaches_its_front_from_above(toy):
    distance = toy.ideal[0, 1]
    reached = np.sqrt(np.maximum(toy.losses, 0)).sum(1)
    assert (reached >= np.sqrt(distance) * 0.99).all(), "nothing beats the best possible front"
    assert reached.max() < 1.25 * np.sqrt(distance)
    assert toy.losses[0, 0] < toy.losses[-1, 0] and toy.losses[0, 1] > toy.losses[-1, 1]
    assert np.allclose(toys.toy_point(toy.model, (1.0, 0.0)), toy.losses[0], atol=1e-5)
    assert toys.toy_surface(toy.model, (1.0, -1.0), side=8).shape == (8, 8)


@pytest.mark.parametrize(
    ("build", "num_tasks", "rank", "plain", "percent"),
    [
        (lambda: lenet({"a": 10, "b": 10}), 2, 1, 27_450, 12.4954),
        (lambda: segnet({"s": 7, "d": 1}), 2, 4, 25_017_672, 4.1863),
        (lambda: segnet({"s": 13, "d": 1, "n": 3}), 3, 4, 25_055_185, 6.3287),
    ],
)
def test_costs_are_the_published_ones(build, num_tasks, rank, plain, percent):
    costs = toys.count_parameters(build, num_tasks, rank, "flat")
    assert costs.plain == plain and 100 * costs.adapters / costs.plain == pytest.approx(percent, abs=1e-4)
    assert list(costs.stored(11, num_tasks).values()) == [11 * plain, num_tasks * plain, plain + costs.adapters]


# -- figures -------------------------------------------------------------------------------------------------------
def test_the_drawn_area_is_the_hypervolume():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points, reference = rng.random((9, 2)), rng.uniform(0.4, 1.3, 2)
        figure = figures.hypervolume_area(points, reference)
        areas = [trace for trace in figure.data if trace.fill == "toself"]
        expected = hypervolume(points, reference)
        if not areas:
            assert expected == 0
            continue
        x, y = np.array(areas[0].x), np.array(areas[0].y)
        assert abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2 == pytest.approx(expected)


def test_schedules_are_drawn_for_two_and_three_tasks():
    taus = np.linspace(0, 1, 5)
    lines = figures.schedule_lines(taus, np.zeros((5, 4, 2)), np.zeros((5, 4, 2)), ("a", "b"))
    assert len(lines.data) == 5
    film = figures.schedule_film(taus, np.full((5, 4, 3), 1 / 3), np.full((5, 4, 3), 1 / 3), ("a", "b"))
    assert [frame.name for frame in film.frames] == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert len(film.layout.sliders[0].steps) == 5


def test_other_figures(toy):
    front = figures.toy_front(toy.preferences, toy.losses, toy.ideal, (0.1, 0.2))
    assert [trace.name for trace in front.data] == ["best possible", "this network", "chosen λ"]
    assert len(figures.toy_surfaces({"a": np.zeros((3, 3)), "b": np.ones((3, 3))}).data) == 2
    assert list(figures.cost_bars({"a": 3, "b": 2}, "x").data[0].x) == [3, 2]
    assert len(figures.forgetting_bars({"(1, 0)": (0.1, 0.2)}, ["(1, 0)"]).data) == 2


# -- the page ------------------------------------------------------------------------------------------------------
def open_step(step: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=280)
    app.query_params["step"] = step
    return app.switch_page("pages/learn.py").run()


@pytest.mark.parametrize("step", ["1", "2", "3", "4", "5", "7", "8", "99", "x"])
def test_every_step(roots, step):
    app = open_step(step)
    assert not app.exception and not app.error
    assert app.markdown[0].value.startswith("# ")
    if step != "8":
        assert "def " in app.code[0].value and any("line " in caption.value for caption in app.caption)


@pytest.mark.parametrize("tasks", [2, 3])
def test_schedule_follows_its_sliders(roots, tasks):
    app = open_step("4")
    app.session_state["learn_tasks"] = tasks
    app.run()
    app.slider(key=f"learn_count_{tasks}").set_value(1).run()
    assert not app.exception and len(app.get("plotly_chart")) == 1


def test_next_and_back(roots):
    app = open_step("1")
    app.button(key="learn_Next").click().run()
    assert not app.exception and "wasteful" in app.markdown[0].value
    assert app.session_state["learn addresses"][1] == {"step": "2"}, "the browser writes it: no step of the history"
    app.button(key="learn_Back").click().run()
    assert "Pareto front" in app.markdown[0].value


def test_forgetting_on_a_model_that_is_here(roots):
    from app.analysis.probes import maps

    app = open_step("6")
    assert not app.exception
    for probe in maps._maps.values():
        probe.wait()
    app.run()
    assert len(app.get("plotly_chart")) == 1 and any("forgotten" in caption.value for caption in app.caption)
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    said = next(text.value for text in app.markdown if "At **(1, " in text.value)
    bars = [(t["x"], t["marker"]["pattern"]["shape"]) for t in chart["data"] if t["type"] == "bar"]
    hatched = sum(
        shape == "/" and f"**{name}**" in said for names, shapes in bars for name, shape in zip(names, shapes)
    )
    assert said.count("**forgotten**") == hatched, "the words call forgotten what the bars hatch"
    maps._maps.clear()


def test_forgetting_of_the_shipped_model_is_measured_on_the_whole_split_at_hand(monkeypatch):
    """Text and bars are of all 4,000 pairs of the project's digits, and say the same."""
    from app import services
    from app.analysis.probes import maps

    monkeypatch.setenv("PALORA_MODELS", str(ROOT / "trained_models"))
    monkeypatch.setenv("PALORA_RUNS", str(ROOT / "no runs"))
    services.reset()
    app = open_step("6")
    (probe,) = maps._maps.values()
    probe.wait()
    app.run()
    assert not app.exception and not probe.problem and probe.num_samples == 4000
    assert any("all 4,000 items of the test split" in caption.value for caption in app.caption)
    said = [line for text in app.markdown for line in text.value.splitlines() if line.startswith("* At **")]
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    for place, bars in enumerate(trace for trace in chart["data"] if trace["type"] == "bar"):
        task = probe.loaded.tasks[place].name.replace("_", " ")
        shown = dict(zip(bars["x"], zip(bars["y"], bars["marker"]["pattern"]["shape"])))
        for line in said:
            name = line.partition("**")[2].partition("**")[0]
            value, hatch = shown[name]
            verdict = line.partition(f"{task} ")[2]
            assert verdict.startswith("is **forgotten**") == (hatch == "/"), (line, shown)
            assert f"({value:.1f} %" in verdict
    maps._maps.clear()
    services.reset()


@pytest.mark.slow
def test_a_class_trains_a_model_of_people_and_sees_its_front_grow(roots):
    from app import jobs

    app = open_step("7")
    began = time.monotonic()
    app.button(key="learn_fairness_go").click().run()
    name = app.session_state["learn_fairness"]
    while jobs.job(name).live and time.monotonic() - began < 200:
        time.sleep(0.5)
    assert jobs.job(name).status == "finished", jobs.log_tail(name)
    fronts = [event for event in jobs.read_events(jobs.folder_of(name)) if event["kind"] == "front"]
    assert len(fronts) == 14 and len(fronts[0]["preferences"]) == 11
    app.run()
    assert not app.exception and len(app.get("plotly_chart")) == 1
    assert any("Front after epoch 14: gap" in caption.value for caption in app.caption)


def test_a_front_that_grows_shows_earlier_epochs_pale():
    events = [
        {"preferences": [[1, 0], [0, 1]], "metrics": {"a/acc": [0.8 + k, 0.7], "g/gap": [9.0, 2.0]}, "epoch": k}
        for k in (0, 1)
    ]
    chart = figures.growing_front(events, "g/gap", "a/acc")
    assert [len(trace.x) for trace in chart.data] == [2, 2] and chart.data[0].mode == "lines"
    assert list(chart.data[1].x) == [2, 9] and list(chart.data[1].y) == pytest.approx([70, 180])
    assert figures.span(events[0], "g/gap", "a/acc") == "gap 2.0–9.0 points, accuracy 70.0–80.0 %"


def test_forgetting_without_any_model(tmp_path, monkeypatch):
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "nothing"))
    services.reset()
    app = open_step("6")
    assert not app.exception and len(app.get("plotly_chart")) == 1 and "no trained model yet" in app.caption[0].value
    services.reset()


def test_lessons_are_texts_with_one_title_each():
    lessons = sorted(LESSONS.glob("[0-9]-*.md"))
    assert len(lessons) == 8
    for path in lessons:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# ") and text.count("\n# ") == 0
