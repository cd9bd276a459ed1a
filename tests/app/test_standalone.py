"""The one-file page of every kind of model, opened from disk in a browser and dragged; nothing may go wrong aloud."""

import re

import pytest
import torch

from app.exports.exporting import Exported
from app.exports.standalone import build, runtime
from app.library.models import ModelRegistry
from palora_core.errors import UserError
from tests.app.browsing import WAIT
from tests.app.conftest import ROOT

pytestmark = pytest.mark.browser
SHIPPED = ("multimnist", "rooms", "streets")
PAINTED = "() => document.body.dataset.painted.split(' ').map(Number)"
# What a person sees of a prediction: the pixels of pictures, the words of everything else.
SEEN = """() => [...document.querySelectorAll('.panel')].map((panel) => {
    const canvas = panel.querySelector('canvas');
    return canvas ? canvas.toDataURL() : panel.innerText;
})"""
# In onnxruntime-web's place, where it cannot be had: outputs that depend on λ, of the shapes that the model's have.
STAND_IN = """
const shapes = %s;
export const env = { wasm: {} };
export class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } }
export const InferenceSession = { create: async () => ({ inputNames: ['input', 'preference'], run: async (feeds) => {
  const value = (_, i) => 3 * (1 + Math.sin(i * (1 + feeds.preference.data[0])));
  const output = (dims) => Float32Array.from({ length: dims.reduce((a, b) => a * b) }, value);
  return Object.fromEntries(Object.entries(shapes).map(([name, dims]) => [name, { dims, data: output(dims) }]));
} }) };
"""


def shipped(name: str):
    return ModelRegistry(ROOT / "trained_models", ROOT / "no runs").get(name)


def stand_in(loaded) -> str:
    with torch.no_grad():
        outputs = loaded.model(loaded.example[:1], torch.full((loaded.num_tasks,), 1 / loaded.num_tasks))
    shapes = {name: list(output.shape) for name, output in outputs.items()}
    return STAND_IN % str(shapes).replace("'", '"')


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


def check(page, problems, loaded) -> None:
    """Dragging changes every task's prediction, the sliders follow, and nothing is said on the console."""
    before = page.evaluate(SEEN)
    drag(page, loaded.num_tasks)
    after = page.evaluate(SEEN)
    assert len(before) == loaded.num_tasks and all(a != b for a, b in zip(before, after)), "what λ changes is seen"
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
