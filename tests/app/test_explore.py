import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"


def open_app(**parameters) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=200)
    for name, value in parameters.items():
        app.query_params[name] = value
    return app.run()


def explorer(app: AppTest) -> dict:
    found = [one.proto for one in app.get("bidi_component")]
    return json.loads(next(proto.json for proto in found if proto.component_name == "palora_explorer"))


def texts(elements) -> str:
    return " ".join(element.value for element in elements)


def test_first_model_is_shown(roots):
    app = open_app(model="three")
    assert not app.exception and not app.error
    data = explorer(app)
    assert [task["name"] for task in data["tasks"]] == ["segmentation", "depth", "normals"]
    assert data["preference"] == [0.3334, 0.3333, 0.3333] and data["image"] == "sample-0"
    assert len(data["front"]["preferences"]) == 66 and len(data["images"]) == 4
    assert {c["key"] for c in data["front"]["columns"]} >= {"segmentation/loss", "segmentation/miou", "depth/abs_err"}


def test_a_single_solution_has_nothing_to_steer(monkeypatch):
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(ROOT / "trained_models"))
    services.reset()
    app = open_app(model="multimnist-methods/uw-s0")
    assert not app.exception and not explorer(app)["controllable"]
    assert explorer(app)["front"]["about"] == "test split, 1 point"
    assert "find_go" not in [button.key for button in app.button], "there is no preference to be found"
    services.reset()


def test_choosing_another_model(roots):
    app = open_app(model="three")
    app.selectbox(key="model").set_value("two").run()
    data = explorer(app)
    assert not app.exception and data["model"] == "two" and data["even"]["cells"]
    assert data["address"] == {"model": "two", "preference": "0.5,0.5", "sample": "sample-0"}


def test_a_link_reproduces_the_view(roots):
    data = explorer(open_app(model="two", sample="sample-2", preference="0.2,0.8"))
    assert data["model"] == "two" and data["image"] == "sample-2" and data["preference"] == [0.2, 0.8]


@pytest.mark.parametrize("preference", ["nan,1", "0.5", "a,b", "1,2,3", "", "1e999,0", "0.5;0.5"])
def test_bad_links_fall_back(roots, preference):
    app = open_app(model="two", sample="sample-99", preference=preference)
    data = explorer(app)
    assert not app.exception and data["preference"] == [0.5, 0.5] and data["image"] == "sample-0"


def test_unknown_model_in_the_link(roots):
    app = open_app(model="../../etc")
    assert not app.exception and explorer(app)["model"] == "three", "the one with most to see"


def test_no_models_yet(tmp_path, monkeypatch):
    from app import services

    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "nothing"))
    services.reset()
    app = open_app()
    assert not app.exception and "no model to show yet" in texts(app.info)
    services.reset()


@pytest.mark.parametrize("model", ["damaged", "empty"])
def test_unusable_models_give_a_sentence_and_a_way_out(roots, model):
    app = open_app(model=model)
    assert not app.exception and len(app.error) == 1
    assert "Choose another model" in texts(app.markdown)
    app.selectbox(key="model").set_value("two").run()
    assert not app.error and explorer(app)["model"] == "two"


def test_model_without_samples_and_front(roots):
    app = open_app(model="bare")
    assert not app.exception and len(app.warning) == 2 and "picture of your own" in texts(app.info)


@pytest.mark.parametrize(("model", "count"), [("one", 1), ("digits", 2), ("seven", 7), ("forty", 40), ("run:first", 2)])
def test_any_number_of_tasks(roots, model, count):
    app = open_app(model=model)
    assert not app.exception and len(explorer(app)["tasks"]) == count


def test_finder_moves_the_explorer(roots):
    app = open_app(model="two")
    app.selectbox(key="find_bound").set_value("segmentation/miou").run()
    app.button(key="find_set").click().run()
    drawn = explorer(app)["told"]
    assert drawn["feasible"] and set(drawn["meets"]) == {True, False} and drawn["sentences"][0].startswith("This λ m")
    assert explorer(app)["address"]["bounds"].startswith("segmentation/miou:0.")
    app.selectbox(key="find_push").set_value("depth/abs_err").run()
    app.button(key="find_go").click().run()
    command = explorer(app)["command"]
    assert not app.exception and sum(command["preference"]) == pytest.approx(1)
    assert "gives segmentation mIoU" in texts(app.success)


@pytest.mark.parametrize(
    ("model", "bound", "push"),
    [
        ("seven", "number 2/mae", "number 6/mse"),
        ("forty", "attribute_3/accuracy", "attribute_40/accuracy"),
    ],
)
def test_finder_among_many_tasks(roots, model, bound, push):
    app = open_app(model=model)
    app.selectbox(key="find_bound").set_value(bound).run()
    app.button(key="find_set").click().run()
    app.selectbox(key="find_push").set_value(push).run()
    app.button(key="find_go").click().run()
    assert not app.exception and sum(explorer(app)["command"]["preference"]) == pytest.approx(1, abs=1e-3)


def test_infeasible_wish_says_how_far_off(roots):
    from app.analysis.limits import sentence
    from app.analysis.queries import Wish, columns, find

    loaded = roots.registry.get("two")
    found = {column.key: column for column in columns(loaded.front, loaded.tasks)}
    miou, error = found["segmentation/miou"], found["depth/abs_err"]
    best = float(miou.values.max())
    wishes = [Wish(miou, best + 0.1)]
    words = sentence(loaded.front, wishes, find(loaded.front, wishes, error), error)
    assert words.startswith("No preference gives segmentation mIoU ≥") and "misses it by 10.0 points" in words
    wish = Wish(error, float(error.values.max()))
    assert " m and segmentation mIoU" in sentence(loaded.front, [wish], find(loaded.front, [wish], miou), miou)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def uploading(data: bytes) -> AppTest:
    """The page's own handler of a picture, run as a script."""

    def script(data: bytes) -> None:
        import streamlit as st

        from app import state
        from app.pages.explore import take_input
        from app.services import services

        loaded = services().registry.get("two")
        take_input(loaded, data, "mine.png")
        st.write(state.images(loaded)[-1][0], (state.command(loaded) or {}).get("image", "none"))

    return AppTest.from_function(script, args=(data,), default_timeout=200)


def test_good_picture_becomes_the_image(roots):
    app = uploading(png(Image.fromarray(np.zeros((50, 60, 3), np.uint8)))).run()
    assert not app.exception and not app.error and "upload-" in texts(app.markdown)


@pytest.mark.parametrize(
    "data", [b"not a picture", b"", png(Image.new("1", (8000, 8000)))], ids=["text", "empty", "big"]
)
def test_bad_pictures_give_a_sentence(roots, data):
    app = uploading(data).run()
    assert not app.exception and len(app.error) == 1 and "none" in texts(app.markdown)


def test_reports_of_a_browser_are_checked(roots):
    def script() -> None:
        import streamlit as st

        from app import state
        from app.services import services

        loaded = services().registry.get("two")
        bad = [None, 7, {"preference": "x"}, {"preference": [float("nan"), 1], "image": "../x"}, {"preference": [1]}]
        bad += [{"shortlist": what} for what in (None, 7, {"candidates": 3}, {"candidates": [{"name": "A"}]})]
        for report in bad:
            state.remember(loaded, report)
        st.write(state.view(loaded).preference == (0.5, 0.5) and state.view(loaded).image == "sample-0")
        state.remember(loaded, {"preference": [0.25, 0.75], "image": "sample-1"})
        st.write(state.address(loaded))

    app = AppTest.from_function(script, default_timeout=200).run()
    assert not app.exception and "True" in texts(app.markdown)
    told = json.loads(app.json[0].value)
    assert told == {"model": "two", "preference": "0.25,0.75", "sample": "sample-1"}


def test_merged_weights_are_those_of_the_plain_network(roots):
    import torch
    from safetensors.torch import load

    from app.exports.merged import merged_safetensors

    loaded = roots.registry.get("two")
    state = load(merged_safetensors(loaded, [0.3, 0.7]))
    expected = loaded.model.merge(torch.tensor([0.3, 0.7])).state_dict()
    assert state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in state)


def test_files_of_the_view_are_made_on_demand(roots, monkeypatch):
    from app.exports import exporting

    report = {"max_abs_difference_to_pytorch": 2e-6}
    calls = []

    def export(loaded, form, preference):
        calls.append((form, preference))
        return exporting.Exported("two.onnx", b"x" * 2_000_000, report)

    monkeypatch.setattr(exporting, "export", export)
    app = AppTest.from_file(str(MAIN), default_timeout=200)
    app.session_state["downloads"] = True
    app.query_params.update({"model": "two", "preference": "0.25,0.75", "sample": "sample-1"})
    app.run()
    assert not calls, "nothing is made before it is asked for"
    app.session_state["downloads"] = True
    app.button(key="make_ONNX").click().run()
    assert not app.exception
    assert calls == [("onnx", (0.25, 0.75))]
    app.session_state["downloads"] = True
    app.button(key="make_Report").click().run()
    assert not app.exception
    kept = app.session_state["view_files"]
    assert b"sample 2" in kept["Report"][1].data and kept["ONNX"][1].name == "two.onnx"


def test_many_models_are_chosen_in_two_steps(roots, monkeypatch):
    from app import state

    monkeypatch.setattr(state, "MANY", 3)
    app = open_app(model="run:first")
    assert not app.exception
    assert app.selectbox(key="group").value == "own runs" and app.selectbox(key="model").options == [
        "My run · first"
    ], "a link opens its own group"
    app.selectbox(key="group").set_value("shipped").run()
    assert not app.exception and "Toy digits" in app.selectbox(key="model").options
    assert not any("My run" in option for option in app.selectbox(key="model").options)
