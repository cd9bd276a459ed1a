"""The Compare page in every state, and side by side predictions."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.components import side_by_side
from palora_core.errors import UserError
from tests.app.browsing import WAIT, settle
from tests.app.pages import open_on, texts


def open_compare(**parameters) -> AppTest:
    return open_on("compare", **parameters)


def spec(app, number=0) -> dict:
    return json.loads(app.get("plotly_chart")[number].proto.spec)


def names(app) -> list[str]:
    return [trace.get("name") for trace in spec(app)["data"] if trace.get("showlegend", True)]


def tabled(app) -> dict:
    """What the browser is told of the table."""
    found = [json.loads(element.proto.json) for element in app.get("bidi_component")]
    return next(data for data in found if "columns" in data)


def addressed(app) -> dict[str, str]:
    """The address that the browser is told to show."""
    found = [json.loads(element.proto.json) for element in app.get("bidi_component")]
    return next(data["parameters"] for data in found if data.get("page") == "compare")


@pytest.fixture
def several(model_root, tmp_path, monkeypatch):
    """Two methods on two tasks, one of them with two seeds, and a damaged and an unevaluated model."""
    from app import services

    root = tmp_path / "several"
    for name, method, seed in (("a", "palora", 0), ("b", "palora", 1), ("c", "pamal", 0)):
        shutil.copytree(model_root / "two", root / name)
        card = json.loads((root / name / "card.json").read_text())
        title = {"palora": "PaLoRA", "pamal": "PaMaL"}[method]
        changes = {"title": f"{title} on Toy", "training": {"seed": seed, "seconds": 5}}
        (root / name / "card.json").write_text(
            json.dumps({**card, **changes, "method": {**card["method"], "name": method}})
        )
        front = json.loads((root / name / "front.json").read_text())
        front["objectives"] = (np.array(front["objectives"]) * (1 + 0.1 * seed)).tolist()
        (root / name / "front.json").write_text(json.dumps(front))
    shutil.copytree(model_root / "bare", root / "bare")
    (root / "broken").mkdir()
    monkeypatch.setenv("PALORA_MODELS", str(root))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "none"))
    services.reset()
    yield services.services()
    services.reset()


def test_no_models(tmp_path, monkeypatch):
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "nothing"))
    services.reset()
    app = open_compare()
    assert not app.exception and "no model to show yet" in texts(app.info)
    services.reset()


def test_several_methods_and_their_seeds(several):
    app = open_compare()
    assert not app.exception and not app.error
    assert names(app) == ["PaLoRA, 2 seeds", "PaMaL"]
    rows = tabled(app)["rows"]
    assert [(row["name"], row["seeds"]) for row in rows] == [("PaLoRA", 2), ("PaMaL", 1)]
    assert any("hypervolume" in column["heading"] for column in tabled(app)["columns"])
    left_out = texts(app.caption)
    assert (
        "it was not evaluated yet" in left_out and "broken" in left_out and str(several.registry.models) not in left_out
    )


def test_shaded_difference_says_the_volumes(several):
    app = open_compare()
    app.selectbox(key="shade_first").set_value("PaMaL").run()
    assert not app.exception and "only PaMaL" in [trace.get("name") for trace in spec(app)["data"]]
    assert re.search(r"\*\*PaMaL\*\* dominates \d+\.\d{4} and \*\*PaLoRA \(mean of seeds\)\*\*", texts(app.caption))


def test_metrics_colours_and_choice(several):
    app = open_compare(models="c")
    assert names(app) == ["PaMaL"], "a link says which"
    app.session_state["axes"] = "Metrics"
    app.run()
    app.toggle(key="coloured").set_value(True).run()
    assert not app.exception
    app.multiselect[0].set_value([]).run()
    assert not app.exception and "Choose at least one method" in texts(app.info)


def test_side_by_side(several):
    app = open_compare()
    captions = [image.proto.imgs[0].caption for image in app.get("image")]
    assert not app.exception and len(captions) == 7, "input, two truths, two predictions of each method"
    assert any(caption.replace("\\", "").startswith("PaMaL: mIoU") for caption in captions)
    app.slider(key="weight1").set_value(1.0).run()
    assert not app.exception and not app.error


def test_measured_times_are_in_the_table(several):
    app = open_compare()
    app.button(key="measure").click().run()
    column = next(i for i, c in enumerate(tabled(app)["columns"]) if "ms per prediction" in c["heading"])
    assert not app.exception and all(row["cells"][column]["value"] > 0 for row in tabled(app)["rows"])


@pytest.mark.parametrize("wanted", [1, 2, 3, 7, 40])
def test_any_number_of_tasks(roots, wanted):
    from app.library import leaderboards

    boards, problems = leaderboards.read(roots.registry.entries())
    board = next(a for a in boards if len(a.tasks) == wanted and a.benchmark.kind != "digits")
    app = open_compare(benchmark=board.key)
    assert not app.exception and {trace["type"] for trace in spec(app)["data"]} == {"scatter"}
    assert [e.value for e in app.error if "damaged" not in e.value] == []
    assert len(problems) == 2 and tabled(app)["rows"]


def test_two_of_many_tasks_and_their_predictions(roots):
    from app.library import leaderboards

    boards, _ = leaderboards.read(roots.registry.entries())
    app = open_compare(benchmark=next(a.key for a in boards if len(a.tasks) == 40))
    assert len(spec(app)["layout"]["xaxis"]["tickvals"]) == 40
    answers = app.dataframe[0].value  # a table instead of forty figures
    assert len(answers) == 40 and answers.iloc[:, 2].str.contains("✓|✗").all()
    app.segmented_control(key="many").set_value("Two tasks").run()
    app.selectbox(key="many Up").set_value("attribute_7").run()
    assert not app.exception and "attribute 7" in spec(app)["layout"]["yaxis"]["title"]["text"]


@pytest.mark.parametrize("view", ["3-D", "Triangle"])
def test_views_of_three_tasks(roots, view):
    app = open_compare(benchmark="toy: segmentation, depth, normals")
    app.session_state["view"] = view
    app.run()
    assert not app.exception
    assert spec(app)["data"][0]["type"] == {"3-D": "scatter3d", "Triangle": "scatterternary"}[view]


# -- side by side without a page --------------------------------------------------------------------------------------
def test_predictions_are_those_of_the_model(roots):
    answer = side_by_side.predict(roots, "digits", "sample-0", [0.3, 0.7])
    assert set(answer.values) == {"left", "right"} and answer.milliseconds > 0
    assert sum(answer.values["left"]["probabilities"]) == pytest.approx(1, abs=1e-3)
    known = side_by_side.truth(roots, "digits", "sample-0")
    assert known.pictures["input"] and known.values["left"]["top"] in range(10)
    view = roots.registry.get("digits").views["left"]
    figure = view.chart([("A", "#000000", "", answer.values["left"])], known.values["left"])
    assert figure.layout.xaxis.ticktext[known.values["left"]["top"]].startswith("<b>✓")
    with pytest.raises(UserError):
        side_by_side.predict(roots, "no such", "sample-0", [0.3, 0.7])
    assert not [s for s in roots.inference._views if s.startswith("compare-")], "the sessions are forgotten"


def test_different_samples_are_noticed(roots):
    two, three, digits = (roots.registry.get(name) for name in ("two", "three", "digits"))
    assert side_by_side.same_image(two, three, "sample-1")
    assert not side_by_side.same_image(two, digits, "sample-1") and not side_by_side.same_image(two, three, "sample-99")


# -- in a browser -----------------------------------------------------------------------------------------------------
@pytest.mark.browser
def test_a_person_compares_two_models(chromium, server):
    context = chromium.new_context(viewport={"width": 1366, "height": 900})
    context.set_default_timeout(WAIT)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{server}/compare?benchmark=toy: segmentation, depth")
    page.wait_for_selector(".js-plotly-plot .scatterlayer .trace")
    page.get_by_role("combobox", name="Hypervolume of").click()
    page.get_by_role("option").nth(1).click()
    page.get_by_text("Up to the reference (10, 10)").wait_for()
    settle(page)
    before = page.locator("[data-testid=stImage] img").nth(2).get_attribute("src")
    page.get_by_role("slider").first.focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    page.wait_for_function(
        "(old) => (document.querySelectorAll('[data-testid=stImage] img')[2]?.getAttribute('src') ?? old) !== old",
        arg=before,
    )
    with page.expect_download() as download:
        page.locator(".picture button[data-format=svg]").click()
    drawn = Path(download.value.path()).read_text()
    assert drawn.count("Toy") >= 1 and "rgb(255, 255, 255)" in drawn, "the legend is there, on white"
    heading = page.locator(".figures thead button").nth(2)
    for order in ("ascending", "descending"):  # hypervolume: best first already, then turned round
        heading.click()
        assert page.locator(".figures thead th").nth(2).get_attribute("aria-sort") == order
    page.wait_for_url(re.compile("preference="))
    page.reload()
    page.wait_for_selector("[data-testid=stImage] img")
    assert (
        page.url.count("preference=") == 1 and page.get_by_role("slider").first.get_attribute("aria-valuenow") != "0.5"
    )
    page.get_by_role("button", name="Download").click()
    for label, name in (("CSV, a row per point", "points-toy.csv"), ("LaTeX", "comparison-toy.tex")):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        assert download.value.suggested_filename == name
    assert not problems and page.locator(".stException").count() == 0
    context.close()


def test_many_methods_are_chosen_by_buttons(several, model_root):
    """Twelve configurations of PaLoRA on top of the others: a few at first, all of them on request."""
    root = several.registry.models
    for rank in range(3, 15):
        shutil.copytree(root / "a", root / f"rank{rank}")
        card = json.loads((root / f"rank{rank}" / "card.json").read_text())
        card["method"]["conditioning"] = {**(card["method"].get("conditioning") or {}), "rank": rank}
        (root / f"rank{rank}" / "card.json").write_text(json.dumps(card))
    app = open_compare()
    assert not app.exception
    assert len(app.multiselect[0].value) == 8
    app.button(key="preset Everything").click().run()
    assert not app.exception and len(app.multiselect[0].value) == 14 == len(tabled(app)["rows"])
    app.button(key="preset Nothing").click().run()
    assert "Choose at least one" in texts(app.info)
    assert "preset All single solutions" not in [button.key for button in app.button]


# -- one input, one λ, one address ------------------------------------------------------------------------------------
def test_models_with_other_samples_are_shown_the_first_ones(several, model_root):
    """What is drawn side by side is of one input and in one scale of colours, whatever samples a model came with."""
    import torch

    from app.serving.protocol import snap
    from palora_core.storage.samples import save_samples
    from tests.app.toy import Toy

    save_samples(several.registry.models / "c" / "samples.npz", Toy("dense", 2).items(4, seed=5), 4)
    first, other = several.registry.get("a"), several.registry.get("c")
    assert not side_by_side.same_image(first, other, "sample-1")
    answer = side_by_side.predict_on(several, first, other, "sample-1", [0.3, 0.7])
    x, _ = first.samples.batch(torch.tensor([1]))
    with torch.no_grad():
        predicted = other.model(x, torch.tensor(snap([0.3, 0.7], exact=True)))["segmentation"]
    assert answer.metrics["segmentation"] == pytest.approx(_score(first, predicted, 1), rel=1e-4)
    same = side_by_side.predict(several, "a", "sample-1", [0.3, 0.7]).pictures["depth"]
    levels = np.abs(_levels(answer.pictures["depth"]) - _levels(same))
    assert levels.mean() < 0.05, "folded on other samples, so rounded otherwise, but in the same scale"
    app = open_compare()
    assert not app.exception and not app.error
    assert [one.value for one in app.warning] == [
        "c was measured on other test items than the rest; compare with care."
    ]


def _levels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def _score(loaded, prediction, index):
    import torch

    task = loaded.tasks[0]
    _, targets = loaded.samples.batch(torch.tensor([index]))
    return task.score(prediction, targets[task.name])


def test_models_of_other_inputs_are_refused_in_a_sentence(roots):
    two, three, digits = (roots.registry.get(name) for name in ("two", "three", "digits"))
    for other in (three, digits):
        with pytest.raises(UserError, match="cannot be compared on one image"):
            side_by_side.predict_on(roots, two, other, "sample-0", [0.5, 0.5])


def test_the_address_says_what_is_shown_and_reproduces_it(several):
    app = open_compare()
    app.multiselect[0].set_value(["PaMaL", "PaLoRA"]).run()
    app.segmented_control(key="axes").set_value("Metrics").run()
    app.toggle(key="coloured").set_value(True).run()
    app.slider(key="weight1").set_value(0.25).run()
    app.selectbox(key="compare_image").set_value("sample-2").run()
    told = addressed(app)
    assert told["models"] == "c,a" and told["preference"] == "0.75,0.25" and told["sample"] == "sample-2"
    again = open_compare(**told)
    assert again.multiselect[0].value == ["PaMaL", "PaLoRA"] and again.segmented_control(key="axes").value == "Metrics"
    assert again.slider(key="weight1").value == 0.25 and again.selectbox(key="compare_image").value == "sample-2"
    assert again.toggle(key="coloured").value and addressed(again) == told


def test_an_address_of_nonsense_is_the_usual_view(several):
    usual = addressed(open_compare())
    nonsense = {"benchmark": "x", "models": ",%,a/b", "axes": "?", "first": "<b>", "sample": "sample-99"}
    app = open_compare(**nonsense, preference="nan,1", view="(", coloured="2", hypervolume="!", second="3")
    assert not app.exception and addressed(app) == usual


def test_the_preference_of_a_model_is_that_of_the_other_pages(several):
    app = open_compare()
    app.slider(key="weight1").set_value(0.2).run()
    views = app.session_state["views"]
    assert views["a"].preference == views["c"].preference == (0.8, 0.2)
    app.session_state["views"]["a"] = views["a"].at((0.35, 0.65))  # somebody moved it on Explore
    app.run()
    assert app.slider(key="weight1").value == 0.65


def test_three_weights_always_sum_to_one(roots):
    app = open_compare(benchmark="toy: segmentation, depth, normals")
    for task, weight in ((0, 0.5), (1, 1.0), (2, 0.3), (1, 0.0)):
        app.slider(key=f"weight{task}").set_value(weight).run()
        weights = [app.slider(key=f"weight{t}").value for t in range(3)]
        assert not app.exception and sum(weights) == pytest.approx(1, abs=2e-4) and weights[task] == weight
        assert addressed(app)["preference"] == ",".join(f"{value:g}" for value in weights)


def test_single_solutions_say_what_a_preference_cannot_do(several):
    card = json.loads((several.registry.models / "c" / "card.json").read_text())
    front = json.loads((several.registry.models / "c" / "front.json").read_text())
    for key in ("preferences", "objectives"):
        front[key] = front[key][:1]
    front["metrics"] = {name: values[:1] for name, values in front["metrics"].items()}
    (several.registry.models / "c" / "front.json").write_text(json.dumps(front))
    (several.registry.models / "c" / "card.json").write_text(json.dumps({**card, "title": "LS on Toy"}))
    app = open_compare()
    assert not app.exception and "which no λ moves" in texts(app.caption).replace("\\", "")


def test_the_page_opens_on_the_benchmark_of_the_model_chosen_elsewhere(roots):
    app = open_compare()
    for model, tasks in (("three", "normals"), ("digits", "right")):
        app.session_state["chosen_model"] = model
        app.run()
        assert not app.exception and addressed(app)["benchmark"].endswith(tasks)
    app.selectbox(key="leaderboard").set_value("toy: segmentation, depth").run()
    app.run()
    assert addressed(app)["benchmark"] == "toy: segmentation, depth", "a choice made here stays"


def test_a_link_names_a_benchmark_by_a_model_on_it(roots):
    app = open_compare(benchmark="three", models="three")
    assert not app.exception and addressed(app)["benchmark"].endswith("normals")
    app = open_compare(benchmark="toy")
    assert not app.exception and addressed(app)["benchmark"].startswith("toy: "), "or by its name alone"
