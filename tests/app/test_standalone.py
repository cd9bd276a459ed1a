"""The one-file page of every kind of model, opened from disk in a browser and dragged; nothing may go wrong aloud."""

import json
import re

import pytest
import torch

from app.exports.exporting import Exported
from app.exports.standalone import build, runtime
from app.library.models import ModelRegistry
from app.pictures.scenes import make_scene
from app.pictures.uploads import UploadStore
from palora_core.batches import rows
from palora_core.errors import UserError
from palora_core.export import input_tensors
from tests.app.browsing import WAIT
from tests.app.conftest import ROOT
from tests.app.plugged import PROBLEMS

pytestmark = pytest.mark.browser
SHIPPED = ("multimnist", "rooms", "streets")
PAINTED = "() => document.body.dataset.painted.split(' ').map(Number)"
# What a person sees of a prediction: the pixels of pictures, the words of everything else.
SEEN = """() => [...document.querySelectorAll('.panel[data-task]')].map((panel) => {
    const canvas = panel.querySelector('canvas');
    return canvas ? canvas.toDataURL() : panel.innerText;
})"""
# In onnxruntime-web's place, where it cannot be had: outputs that depend on λ, of the shapes that the model's have.
STAND_IN = """
const shapes = %s;
const names = %s;
export const env = { wasm: {} };
export class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } }
export const InferenceSession = { create: async () => ({ inputNames: names, run: async (feeds) => {
  const told = ([name, { type, data, dims }]) => [name, [type, dims, Array.from(data, Number)]];
  window.fed = Object.fromEntries(Object.entries(feeds).map(told));
  const value = (_, i) => %s * (1 + Math.sin(1 + i * (1 + feeds.preference.data[0])));
  const output = (dims) => Float32Array.from({ length: dims.reduce((a, b) => a * b) }, value);
  return Object.fromEntries(Object.entries(shapes).map(([name, dims]) => [name, { dims, data: output(dims) }]));
} }) };
"""


def shipped(name: str):
    return ModelRegistry(ROOT / "trained_models", ROOT / "no runs").get(name)


def extent(loaded) -> float:
    """Half of the largest output of the stand-in: key points are to lie within the picture."""
    return 0.4 if "places" in loaded.views else 3.0


def stand_in(loaded) -> str:
    first = rows(loaded.example, slice(1))
    with torch.no_grad():
        outputs = loaded.caller.at(loaded.model, first, torch.full((loaded.num_tasks,), 1 / loaded.num_tasks))
    shapes = {name: list(output.shape) for name, output in loaded.predictions(outputs).items()}
    names = [*input_tensors(first, loaded.caller), "preference"]
    return STAND_IN % (json.dumps(shapes), json.dumps(names), extent(loaded))


@pytest.fixture
def from_disk(chromium, tmp_path):
    """Open a page from disk, without a network; returns it and all that went wrong in it."""
    context = chromium.new_context(offline=True, viewport={"width": 1200, "height": 900})

    def open_(html: str):
        file = tmp_path / "page.html"
        file.write_text(html, encoding="utf-8")
        page, problems = context.new_page(), []
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: said.type in ("error", "warning") and problems.append(said.text))
        page.goto(file.as_uri())
        page.wait_for_selector("body[data-painted]")
        return page, problems

    yield open_
    context.close()


def drag(page, count: int) -> None:
    """From the middle of the pad to the first task's corner, with the button held."""
    page.locator("#pad").hover()
    box = page.locator("#pad").bounding_box()
    corner = (24 / 300, 46 / 70) if count == 2 else (150 / 300, 26 / 214)
    page.mouse.down()
    page.mouse.move(box["x"] + corner[0] * box["width"], box["y"] + corner[1] * box["height"], steps=6)
    page.mouse.up()
    page.wait_for_function(f"() => ({PAINTED})()[0] > 0.95")


def check(page, problems, loaded, changed=all) -> None:
    """Dragging changes predictions, of every task or of ``any``, the sliders follow, and the console stays silent."""
    before = page.evaluate(SEEN)
    drag(page, loaded.num_tasks)
    after = page.evaluate(SEEN)
    assert len(before) == loaded.num_tasks and changed(a != b for a, b in zip(before, after)), "what λ changes is seen"
    assert float(page.locator("#sliders input").first.input_value()) > 0.95
    page.locator("#gallery button").nth(1).click()
    page.wait_for_selector("body[data-sample='1']")
    assert problems == [] and re.search(r"λ = \(1\.00", page.locator("#status").inner_text())


@pytest.mark.parametrize("model", SHIPPED)
def test_the_page_of_a_shipped_model_is_dragged_from_disk(from_disk, model):
    loaded = shipped(model)
    network = Exported("x.onnx", b"network", {"max_abs_difference_to_pytorch": 1e-6})
    check(*from_disk(build.compose(loaded, network, stand_in(loaded).encode(), b"binary")), loaded)


@pytest.mark.slow
@pytest.mark.parametrize("model", SHIPPED)
def test_the_exported_page_of_a_shipped_model_runs_its_network(from_disk, model):
    """The file as the Models page gives it, with the runtime from npm."""
    try:
        runtime.parts()
    except UserError as error:
        pytest.skip(str(error))
    loaded = shipped(model)
    made = build.standalone(loaded)
    assert made.report["max_abs_difference_to_pytorch"] < 1e-2
    check(*from_disk(made.data.decode()), loaded)


VALUES = """() => [...document.querySelectorAll('.panel[data-task]')].map((panel) =>
    [panel.dataset.task, panel.querySelector('canvas') ? null : panel.querySelector('h2').nextSibling.innerText])"""


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_page_of_every_further_kind_tells_what_the_pages_tell(from_disk, every_kind, problem):
    loaded = every_kind.get(f"run:{problem}")
    network = Exported("x.onnx", b"network", {"max_abs_difference_to_pytorch": 1e-6})
    page, problems = from_disk(build.compose(loaded, network, stand_in(loaded).encode(), b"binary"))
    check(page, problems, loaded, changed=any)  # a task of one number has one that the stand-in does not move
    scene = make_scene(loaded, "sample-1", UploadStore())
    fed = page.evaluate("() => window.fed")
    for name, tensor in input_tensors(scene.x, loaded.caller).items():
        assert fed[name][:2] == [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        assert fed[name][2] == pytest.approx(tensor.flatten().tolist())
    first, at = page.evaluate(PAINTED)[0], torch.full((loaded.num_tasks,), 1 / loaded.num_tasks)
    shapes = {n: p.shape for n, p in loaded.predictions(loaded.caller.at(loaded.model, scene.x, at)).items()}
    for name, told in page.evaluate(VALUES):
        places = torch.arange(shapes[name].numel()).reshape(shapes[name])
        output = extent(loaded) * (1 + torch.sin(1 + places * (1 + first)))
        rows_told = loaded.views[name].rows(loaded.views[name].values(output[0])) if told is not None else ()
        words = [word.split(" (")[0] for row in rows_told for word in row if word not in ("class", "value")]
        assert told is None or (words and all(word in told for word in words)), (name, words, told)
    if problem == "reviews":
        assert "good" in page.locator("#input").inner_text() or "film" in page.locator("#input").inner_text()


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_exported_page_of_every_further_kind_runs_its_network(from_disk, every_kind, problem):
    try:
        runtime.parts()
    except UserError as error:
        pytest.skip(str(error))
    loaded = every_kind.get(f"run:{problem}")
    made = build.standalone(loaded)
    assert made.report["max_abs_difference_to_pytorch"] < 1e-4
    check(*from_disk(made.data.decode()), loaded, changed=any)  # trained for a moment
