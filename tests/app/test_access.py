"""What a person needs who uses the keyboard, a screen reader, a small screen or has weak eyes, in a real browser."""

import json
import re
from pathlib import Path

import pytest

from tests.app.browsing import WAIT, settle, wait_for_none

expect = pytest.importorskip("playwright.sync_api").expect
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
UNNAMED = """() => [...document.querySelectorAll(
    '.palora :is(canvas, svg, button, select, input), [data-testid=stMain] :is(img, button)')]
    .filter((node) => node.checkVisibility() && !node.matches('button img'))
    .filter((node) => !node.closest('[aria-hidden=true], .js-plotly-plot'))
    .filter((node) => !(node.ariaLabel || node.alt || node.textContent.trim() || node.labels?.length || node.title))
    .map((node) => node.outerHTML.slice(0, 120))"""


OUT_OF_SIGHT = """([places, width, height, strip]) => {
    const boxes = places.map((place) => [place, document.querySelector(place).getBoundingClientRect()]);
    const outside = boxes.filter(([, box]) => box.top < 0 || box.bottom > height || (!strip && box.right > width));
    const wide = document.querySelector('[data-testid=stMain]').scrollWidth;
    if (wide > width || innerWidth !== width) outside.push(`${wide} pixels in ${innerWidth}`);
    return outside;
}"""


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
    expect(page.locator(".p-pad")).to_have_attribute("aria-label", re.compile("Segmentation 0.40"), timeout=WAIT)
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
        const options = { bubbles: true, cancelable: true };
        for (const key of keys) place.dispatchEvent(new KeyboardEvent('keydown', { key, ...options }));
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
        settle(page)
    assert page.evaluate(UNNAMED) == []


def test_an_answer_that_is_there_before_its_scene_counts_only_with_it(open_page):
    scenes, sockets = [], []

    def hold_scenes(socket):
        def pass_on(frame):
            scene = (
                isinstance(frame, bytes)
                and json.loads(frame[4 : 4 + int.from_bytes(frame[:4], "little")])["type"] == "scene"
            )
            scenes.append(frame) if scene else socket.send(frame)

        sockets.append(socket)
        socket.connect_to_server().on_message(pass_on)

    page = open_page(
        "model=seven", painted=False, before=lambda page: page.route_web_socket("**/palora/ws", hold_scenes)
    )
    page.wait_for_function("() => document.querySelector('.palora')?.explorer?.latest")
    assert page.evaluate(UNNAMED) == [], "a picture is named before it is there"
    assert page.locator(".palora[data-painted]").count() == 0 and len(scenes) == 1
    sockets[0].send(scenes[0])
    page.wait_for_selector(".palora[data-painted]")
    page.locator(".p-pin").click()
    expect(page.locator(".p-kept").first).to_have_text(re.compile("^A: "), timeout=WAIT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(open_page, server, scheme):
    page = open_page("model=three", color_scheme=scheme)
    wait_for_none(page, CONTRAST, frames=3)  # what fades in does not stand out yet
    page.goto(f"{server}/learn?step=2")
    page.wait_for_selector(".js-plotly-plot .xtick text")
    settle(page)
    wait_for_none(page, CONTRAST, frames=3)


def test_pad_and_predictions_are_in_sight_together(open_page):
    """Three tasks: what is dragged and what it changes, without scrolling, on a laptop, a tablet and a phone."""
    page = open_page("model=three")
    places = [".p-pad", *(f"[data-task={task}] canvas" for task in ("segmentation", "depth", "normals"))]
    for width, height in ((1366, 768), (820, 1180), (480, 900)):
        page.set_viewport_size({"width": width, "height": height})
        strip = width == 480  # there the pictures are side by side, to be swiped
        wait_for_none(page, OUT_OF_SIGHT, [places, width, height, strip])


def test_many_tasks_as_axes_and_in_pairs(open_page):
    page = open_page("model=seven")
    page.wait_for_function("() => document.querySelector('.p-plot')._fullLayout")
    assert page.locator(".p-axis:visible").count() == 0
    page.get_by_role("button", name="All tasks").click()
    page.locator(".p-axis select").nth(1).select_option(label="number 3 loss")
    page.wait_for_function("() => /number 3 loss/.test(document.querySelector('.p-plot').textContent)")
    expect(page.locator(".p-marker")).to_be_visible(timeout=WAIT)
    assert page.locator(".p-axis:visible").count() == 2
    page.locator(".p-pin").click()
    expect(page.locator(".p-kept").first).to_have_text(re.compile("^A: "), timeout=WAIT)


def test_the_content_is_a_few_keys_away(open_page):
    page = open_page("model=two")
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    assert page.locator(".palora-skip").bounding_box()["y"] > 0, "it is seen while it has the focus"
    page.keyboard.press("Enter")
    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(focused(page))
    assert any("p-pad" in name for name in reached), reached
    page.locator("[data-testid=stSidebarNavLink]").nth(1).focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    outline = """() => {
        const style = getComputedStyle(document.activeElement);
        return [style.outlineStyle, parseFloat(style.outlineWidth)];
    }"""
    style, width = page.evaluate(outline)
    assert style == "solid" and width >= 2, "which page would be opened is seen"


def test_a_popover_takes_the_keyboard_along(open_page):
    page = open_page("model=two")
    button = page.get_by_role("button", name="Find a preference")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.closest('[data-testid=stPopoverBody]')")
    page.keyboard.press("Escape")
    expect(page.locator("[data-testid=stPopoverBody]")).to_have_count(0, timeout=WAIT)
    expect(button).to_be_focused(timeout=WAIT)


def test_buttons_of_a_phone_are_large_enough(open_page):
    page = open_page("model=three")
    page.set_viewport_size({"width": 400, "height": 800})
    small = """() => [...document.querySelectorAll('.palora button')].filter((node) => node.checkVisibility())
        .map((node) => [node.textContent, node.getBoundingClientRect().height]).filter(([, height]) => height < 36)"""
    wait_for_none(page, small)
