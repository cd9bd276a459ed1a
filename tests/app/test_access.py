"""What a person needs who uses the keyboard, a screen reader, a small screen or has weak eyes, in a real browser."""

import re
from pathlib import Path

import pytest

CONTRAST = Path(__file__).with_name("contrast.js").read_text()
UNNAMED = """() => [...document.querySelectorAll(
    '.palora :is(canvas, svg, button, select, input), [data-testid=stMain] :is(img, button)')]
    .filter((node) => node.checkVisibility() && !node.matches('button img'))
    .filter((node) => !node.closest('[aria-hidden=true], .js-plotly-plot'))
    .filter((node) => !(node.ariaLabel || node.alt || node.textContent.trim() || node.labels?.length || node.title))
    .map((node) => node.outerHTML.slice(0, 120))"""


def focused(page) -> str:
    return page.evaluate("() => document.activeElement.getAttribute('class') || document.activeElement.tagName")


def test_the_pad_and_the_front_by_keyboard(open_page):
    page = open_page("model=two&preference=0.5,0.5")
    page.locator(".p-pin").focus()
    page.keyboard.press("Tab")
    assert "p-pad" in focused(page)
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid", "focus is seen"
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_function("() => document.querySelector('.palora').dataset.painted.startsWith('0.4 ')")
    assert "Segmentation 0.40" in page.locator(".p-pad").get_attribute("aria-label")
    picture = page.locator(".p-panel[data-task=depth] canvas")
    assert picture.get_attribute("aria-label") == "Depth: prediction at λ = (0.40, 0.60)"
    page.wait_for_function("() => document.querySelector('.p-plot')._fullLayout")
    page.locator(".p-stage").focus()
    page.keyboard.press("End")
    first = page.locator(".p-about").inner_text()
    assert re.fullmatch(r"point 11 of 11: λ = \(\d\.\d\d, \d\.\d\d\)", first)
    page.keyboard.press("ArrowLeft")
    assert page.locator(".p-about").inner_text().startswith("point 10 of 11"), first
    assert page.evaluate("() => document.querySelector('.palora').explorer.front.stage.ariaLabel").startswith("Front: ")


def test_two_keys_within_one_frame_are_two_steps(open_page):
    """A held key, or a busy machine, may bring several before the handle is drawn again."""
    page = open_page("model=two&preference=0.5,0.5")
    press = """(place, keys) => {
        for (const key of keys) place.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
        return document.querySelector('.palora').explorer.preference.map((v) => v.toFixed(2)); }"""
    assert page.locator(".p-pad").evaluate(press, ["ArrowRight"] * 3) == ["0.44", "0.56"]
    stage = page.locator(".p-stage")
    stage.evaluate(press, ["End"])
    assert page.locator(".p-about").inner_text().startswith("point 11 of 11")
    stage.evaluate(press, ["ArrowLeft"] * 3)
    assert page.locator(".p-about").inner_text().startswith("point 8 of 11")


@pytest.mark.parametrize("page_name", ["", "probe"])
def test_everything_has_a_name(open_page, server, page_name):
    page = open_page("model=two")
    if page_name:
        page.goto(f"{server}/{page_name}?model=two")
        page.wait_for_selector(".palora[data-painted]")
    assert page.evaluate(UNNAMED) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(open_page, server, scheme):
    page = open_page("model=three", color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []
    page.goto(f"{server}/learn?step=2")
    page.wait_for_selector(".js-plotly-plot .xtick text")
    assert page.evaluate(CONTRAST) == []


def test_pad_and_predictions_are_in_sight_together(open_page):
    """Three tasks: what is dragged and what it changes, without scrolling, on a laptop, a tablet and a phone."""
    page = open_page("model=three")
    for width, height in ((1366, 768), (820, 1180), (480, 900)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        strip = width == 480  # there the pictures are side by side, to be swiped
        for place in (".p-pad", *(f"[data-task={t}] canvas" for t in ("segmentation", "depth", "normals"))):
            box = page.locator(place).bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= height, (width, place, box)
            assert strip or box["x"] + box["width"] <= width
        assert page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth") <= width


def test_many_tasks_as_axes_and_in_pairs(open_page):
    page = open_page("model=seven")
    page.wait_for_function("() => document.querySelector('.p-plot')._fullLayout")
    assert page.locator(".p-axis:visible").count() == 0
    page.get_by_role("button", name="All tasks").click()
    page.locator(".p-axis select").nth(1).select_option(label="number 3 loss")
    page.wait_for_function("() => /number 3 loss/.test(document.querySelector('.p-plot').textContent)")
    assert page.locator(".p-marker").is_visible() and page.locator(".p-axis:visible").count() == 2
    page.locator(".p-pin").click()
    assert page.locator(".p-kept").first.inner_text().startswith("pinned: ")
