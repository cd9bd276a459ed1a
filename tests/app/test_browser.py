"""What a person does, in a real browser on a real server."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.app.browsing import WAIT, wait_for_none

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

# The figure is where its box is: it follows a change of the box, and of what is around it, a little later.
MOVING = """() => {
    const plot = document.querySelector('.p-plot');
    if (!plot?._fullLayout?.xaxis) return ['not drawn'];
    const { width, height, xaxis, yaxis } = plot._fullLayout;
    const box = plot.getBoundingClientRect();
    const [before, now] = [plot.dataset.place, JSON.stringify([box, xaxis._offset, yaxis._offset, width, height])];
    plot.dataset.place = now;
    const fits = Math.abs(box.width - width) + Math.abs(box.height - height) < 2;
    return before === now && fits ? [] : [now];
}"""
TOUCHED = """(places) => {
    const board = document.querySelector('.drawing canvas');
    board.setPointerCapture = () => {};  // there is no such finger
    const tell = (name, [clientX, clientY]) => board.dispatchEvent(new PointerEvent(
        name, { clientX, clientY, pointerType: 'touch', pointerId: 7, bubbles: true }));
    tell('pointerdown', places[0]);
    places.slice(1).forEach((place) => tell('pointermove', place));
    tell('pointerup', places.at(-1));
}"""
LABELS = """(task) => document.querySelector('.palora').explorer.figures.pixels(task)"""


PAINTED = "document.querySelector('.palora').dataset.painted.split(' ').map(Number)"


def painted(page) -> list[float]:
    return page.evaluate(f"() => {PAINTED}")


def wait_painted(page, preference, tolerance=1e-3) -> None:
    page.wait_for_function(
        """([wanted, tolerance]) => {
            const at = document.querySelector('.palora').dataset.painted.split(' ').map(Number);
            return at.every((v, t) => Math.abs(v - wanted[t]) <= tolerance);
        }""",
        arg=[list(preference), tolerance],
    )


def pixels(page, task="segmentation") -> np.ndarray:
    return np.array(page.evaluate(LABELS, task), dtype=np.uint8).reshape(-1, 4)


def drag(page, start: float, end: float, steps: int = 12) -> None:
    """Drag along the pad of a two-task model, from and to shares of the segment."""
    page.locator(".p-pad").hover()  # waits until it moves no more
    box = page.locator(".p-pad").bounding_box()

    def x(share):
        return box["x"] + box["width"] * (24 + 252 * share) / 300

    y = box["y"] + box["height"] * 46 / 70
    page.mouse.move(x(start), y)
    page.mouse.down()
    for step in range(1, steps + 1):
        page.mouse.move(x(start + (end - start) * step / steps), y)
        page.wait_for_timeout(25)
    page.mouse.up()


def expected_pixels(model_root, model: str, preference) -> np.ndarray:
    """The segmentation picture that the model itself gives at λ, RGBA."""
    import torch

    from app.library.models import ModelRegistry

    loaded = ModelRegistry(model_root, model_root / "no runs").get(model)
    x, _ = loaded.samples.batch(torch.tensor([0]))
    with torch.no_grad():
        prediction = loaded.model(x, torch.tensor(preference))["segmentation"][0]
    data, _ = loaded.views["segmentation"].draw(prediction).encode()
    return np.array(Image.open(io.BytesIO(data)).convert("RGBA")).reshape(-1, 4)


def test_dragging_changes_the_picture_while_the_button_is_down(open_page):
    page = open_page("model=two&preference=0.5,0.5")
    before = pixels(page)
    page.locator(".p-pad").hover()  # waits until it moves no more
    box = page.locator(".p-pad").bounding_box()
    y = box["y"] + box["height"] * 46 / 70
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, y, steps=8)
    page.wait_for_function("() => document.querySelector('.palora').dataset.painted.split(' ')[0] > 0.75")
    assert (pixels(page) != before).any(axis=1).mean() > 0.02
    assert "preference=0.5" in page.url, "the address follows on release only"
    page.mouse.up()
    page.wait_for_url(re.compile(r"preference=0\.8"))


WATCH_CHANGES = """() => {
  const { explorer } = document.querySelector('.palora');
  const set = explorer.set.bind(explorer);
  window.changes = [];
  explorer.set = (preference, time) => {
    window.changes.push([window.event.type, preference.join(' ')]);
    set(preference, time);
  };
}"""


def test_a_movement_is_answered_at_once_and_once(open_page):
    """Browsers hold ``pointermove`` back until their next frame; the question is asked before, but not twice."""
    page = open_page("model=two&preference=0.5,0.5")
    page.locator(".p-pad").hover()
    box = page.locator(".p-pad").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 46 / 70
    page.mouse.move(x, y)
    page.evaluate(WATCH_CHANGES)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(x + 6 * step, y)
        page.wait_for_timeout(20)
    end = page.evaluate("() => document.querySelector('.palora').explorer.preference.join(' ')")
    page.mouse.move(x + 80, y)
    page.mouse.up()
    changes = page.evaluate("() => window.changes")
    kinds = [kind for kind, _ in changes]
    assert kinds[0] == "pointerdown" and set(kinds[1:]) <= {"pointerrawupdate", "pointermove"}
    assert "pointerrawupdate" in kinds
    preferences = [preference for _, preference in changes]
    assert len(set(preferences)) == len(preferences), "one λ was asked for twice"
    assert preferences[-1] != end, "the last movement before the button went up counts too"
    page.mouse.move(x - 80, y)
    page.wait_for_timeout(50)
    assert page.evaluate("() => window.changes.length") == len(changes), "nothing follows a mouse without a button"


def as_files(frame: bytes) -> bytes:
    """An answer as it would be were its pictures too large to be sent as bare pixels."""
    from app.pictures.drawing import Picture
    from app.serving.protocol import pack, unpack

    header, blobs = unpack(frame)
    if header["type"] == "gallery":
        return frame
    for number, what in enumerate(header["pictures"]):
        picture = Picture.from_bare(blobs[number], what.pop("colours"), what["height"], what["width"])
        blobs[number], what["mime"] = picture.encode()
    return pack({key: value for key, value in header.items() if key != "sizes"}, blobs)


def test_pictures_are_the_same_as_files(open_page, model_root):
    """Large ones come as files; here all do, and the page shows what it shows of bare pixels."""

    def route(socket):
        server = socket.connect_to_server()
        server.on_message(lambda frame: socket.send(as_files(frame) if isinstance(frame, bytes) else frame))

    page = open_page("model=two&preference=0.3,0.7", before=lambda page: page.route_web_socket("**/palora/ws", route))
    wait_painted(page, [0.3, 0.7])
    assert (pixels(page) == expected_pixels(model_root, "two", [0.3, 0.7])).all(axis=1).mean() > 0.99
    assert page.evaluate("() => !document.querySelector('.palora').explorer.panels[0].layers.prediction.pixels")
    plain = open_page("model=two&preference=0.3,0.7")
    wait_painted(plain, [0.3, 0.7])
    assert plain.evaluate("() => !!document.querySelector('.palora').explorer.panels[0].layers.prediction.pixels")
    for task in ("segmentation", "depth"):
        first, second = (pixels(each, task).astype(int) for each in (page, plain))
        assert (abs(first - second).max(axis=1) <= 1).mean() > 0.99, task


def test_a_place_that_was_given_away_is_taken_again_with_the_next_movement(open_page):
    sockets = []

    def route(socket):
        sockets.append(socket)
        socket.connect_to_server()

    page = open_page("model=two&preference=0.5,0.5", before=lambda page: page.route_web_socket("**/palora/ws", route))
    wait_painted(page, [0.5, 0.5])
    page.wait_for_function("() => !document.querySelector('.palora').explorer.connection.inFlight")
    sockets[0].close(code=4408, reason="idle")
    page.wait_for_function("() => document.querySelector('.palora').explorer.connection.away")
    page.wait_for_timeout(1200)  # it would come back by itself after half a second, and others would be sent away
    assert len(sockets) == 1 and "lost" not in page.locator(".p-status").inner_text()
    page.locator(".p-pad").focus()
    page.keyboard.press("Shift+ArrowRight")
    wait_painted(page, [0.4, 0.6])
    assert len(sockets) == 2


def test_two_sessions_see_their_own_preference(open_page, model_root):
    first, second = open_page("model=two"), open_page("model=two")
    drag(first, 0.5, 0.9)
    drag(second, 0.5, 0.1)
    for page, weight in ((first, 0.9), (second, 0.1)):
        page.wait_for_function(
            """(weight) => {  // the very λ under the handle, not one on the way there
                const { dataset, explorer } = document.querySelector('.palora');
                const off = dataset.painted.split(' ').map((v, t) => Math.abs(v - explorer.preference[t]));
                return Math.abs(explorer.preference[1] - weight) < 0.02 && Math.max(...off) < 3e-4;
            }""",
            arg=weight,
        )
        preference, shown = page.evaluate(f"() => [{PAINTED}, ({LABELS})('segmentation')]")
        shown = np.array(shown, dtype=np.uint8).reshape(-1, 4)
        agree = (shown == expected_pixels(model_root, "two", preference)).all(axis=1).mean()
        other = (shown == expected_pixels(model_root, "two", [weight, 1 - weight])).all(axis=1).mean()
        assert agree > 0.99 > 0.98 > other


def test_clicking_the_front_sets_the_preference(open_page):
    page = open_page("model=two&preference=0.47,0.53")
    wait_for_none(page, MOVING)
    # The point that stands most apart, so that the click means one λ only.
    *place, first, second = page.evaluate(
        """() => {
            const plot = document.querySelector('.p-plot');
            const { explorer } = document.querySelector('.palora');
            const { preferences, columns } = explorer.data.front;
            const { xaxis, yaxis } = plot._fullLayout;
            const box = plot.getBoundingClientRect();
            const [xs, ys] = explorer.front.axes.map((a) => columns[a].values);
            const [left, top] = [box.left + xaxis._offset, box.top + yaxis._offset];
            const at = xs.map((x, k) => [left + xaxis.l2p(x), top + yaxis.l2p(ys[k])]);
            const others = (k) => at.filter((_, i) => i !== k);
            const gap = (k) => Math.min(...others(k).map(([x, y]) => Math.hypot(x - at[k][0], y - at[k][1])));
            const k = at.map((_, i) => i).sort((i, j) => gap(j) - gap(i))[0];
            return [...at[k], ...preferences[k]];
        }"""
    )
    node = page.evaluate_handle("() => document.querySelector('.p-plot .main-svg')")
    page.mouse.move(*place)
    page.wait_for_selector(".p-plot .hovertext")
    page.mouse.click(*place)
    wait_painted(page, [first, second])
    page.wait_for_url(re.compile(rf"preference={first:g}(%2C|,){second:g}"))
    assert page.evaluate("(node) => node.isConnected", node), "the figure was not made anew"


def test_a_link_reproduces_the_view(open_page):
    page = open_page("model=two&sample=sample-2&preference=0.12,0.88")
    wait_painted(page, [0.12, 0.88])
    assert page.get_attribute(".p-gallery button:nth-child(3)", "aria-checked") == "true"
    page.locator(".p-gallery button").nth(1).click()
    page.wait_for_url(re.compile("sample=sample-1"))
    page.locator(".p-sliders input[type=number]").first.fill("0.7")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"preference=0\.7(%2C|,)0\.3"))
    again = open_page(page.url.split("?")[1])
    for one in (again, page):
        wait_painted(one, [0.7, 0.3])
        one.wait_for_function("() => document.querySelector('.palora').explorer.shown === 'sample-1'")
    assert (pixels(again) == pixels(page)).all()


def test_keys_move_the_pad(open_page):
    page = open_page("model=three")
    page.focus(".p-pad")
    page.keyboard.press("2")
    wait_painted(page, [0, 1, 0])
    page.keyboard.press("Home")
    wait_painted(page, [1 / 3] * 3, 0.06)
    page.keyboard.press("Shift+ArrowUp")
    page.wait_for_function("() => document.querySelector('.palora').dataset.painted.split(' ')[0] > 0.39")


def test_views_pin_and_wipe(open_page):
    page = open_page("model=three")
    panel = page.locator(".p-panel[data-task=depth]")
    for name in ("Truth", "Error", "Prediction"):
        panel.get_by_role("button", name=name).click()
        assert panel.get_by_role("button", name=name).get_attribute("aria-pressed") == "true"
    page.locator(".p-pin").click()
    page.focus(".p-pad")
    page.keyboard.press("1")
    wait_painted(page, [1, 0, 0])
    assert page.locator(".p-wipe").is_visible() and "A (0.33" in page.locator(".p-wipe").inner_text()


def test_pictures_of_ones_own(open_page):
    page = open_page("model=two")
    page.get_by_text("Your picture").click()
    upload = page.locator("[data-testid=stFileUploaderDropzoneInput]")
    upload.set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"not a picture at all"})
    page.get_by_text("not a picture that can be read").wait_for()
    buffer = io.BytesIO()
    Image.fromarray(np.full((120, 90, 3), (200, 30, 90), np.uint8)).save(buffer, "PNG")
    upload.set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    page.wait_for_selector(".p-gallery button[aria-label='mine.png'][aria-checked=true]")
    page.wait_for_function("() => document.querySelector('.palora').explorer.latest.image.startsWith('upload-')")
    expect(page.locator(".p-panel[data-task=depth] .p-views"), "there is no truth to show").to_be_hidden(timeout=WAIT)
    assert "upload" not in page.url
    expect(page.locator("[data-testid=stPopoverBody]"), "nothing covers the result").to_have_count(0, timeout=WAIT)
    notice = page.locator(".p-notice")
    expect(notice).to_contain_text("trained on other data, Toy", timeout=WAIT)
    assert page.locator(".p-numbers b").count() == 0, "figures of the test split say nothing of this picture"
    own = page.locator(".p-gallery button").first
    assert own.get_attribute("aria-label") == "mine.png", "it comes first"
    page.wait_for_function("() => document.querySelector('.p-gallery img').naturalWidth > 0")
    page.locator(".p-gallery button").nth(1).click()
    expect(notice).to_be_hidden(timeout=WAIT)
    expect(page.locator(".p-numbers b").first).to_be_visible(timeout=WAIT)


@pytest.mark.parametrize("pointer", ["mouse", "touch"])
def test_figures_are_drawn(open_page, pointer):
    page = open_page("model=digits")
    page.get_by_text("Your picture").click()
    board = page.locator(".drawing canvas")
    board.hover()
    box = board.bounding_box()
    places = [
        (box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in ((0.2, 0.2), (0.5, 0.3), (0.5, 0.6))
    ]
    button = {name: page.locator(f".drawing .d-{name}") for name in ("send", "undo", "clear")}
    assert all(one.is_disabled() for one in button.values()) and page.locator(".d-marks span").count() == 1
    for stroke in (places, places[:1]):
        if pointer == "mouse":
            page.mouse.move(*stroke[0])
            page.mouse.down()
            for place in stroke[1:]:
                page.mouse.move(*place, steps=4)
            page.mouse.up()
        else:
            page.evaluate(TOUCHED, [list(place) for place in stroke])
    count = "() => document.querySelector('.drawing').drawing.strokes.length"
    assert page.evaluate(count) == 2
    button["undo"].click()
    assert page.evaluate(count) == 1
    button["send"].click()
    page.wait_for_selector(".p-gallery button[aria-label='Your drawing'][aria-checked=true]")
    page.wait_for_function("() => document.querySelector('.palora').explorer.latest.image.startsWith('upload-')")
    expect(page.locator("[data-testid=stPopoverBody]"), "nothing covers the result").to_have_count(0, timeout=WAIT)


@pytest.mark.parametrize("model", ["one", "forty", "digits"])
def test_any_number_of_tasks(open_page, model):
    problems = []
    page = open_page(f"model={model}")
    page.on("pageerror", lambda error: problems.append(str(error)))
    if model == "forty":
        page.locator(".p-sliders input[type=range]").nth(7).fill("0.8")
        page.wait_for_function(
            "() => Math.abs(document.querySelector('.palora').dataset.painted.split(' ')[7] - 0.8) < 0.02"
        )
        numbers = "[...document.querySelectorAll('.p-sliders input[type=number]')].map((field) => Number(field.value))"
        page.wait_for_function(f"() => Math.abs({numbers}[7] - 0.8) < 0.02")
        assert sum(page.evaluate(f"() => {numbers}")) == pytest.approx(1, abs=0.03)
    assert not problems and page.locator(".stException").count() == 0


def test_the_page_comes_back_after_the_socket_breaks(open_page):
    page = open_page("model=two")
    page.evaluate("() => document.querySelector('.palora').explorer.connection.socket.close()")
    page.wait_for_function("() => document.querySelector('.palora').explorer.connection.ready")
    drag(page, 0.5, 0.75)
    wait_painted(page, [0.25, 0.75], 0.03)


def test_even_steps_on_the_triangle_lose_no_preference(open_page):
    page = open_page("model=three&preference=0.6,0.3,0.1")
    before = page.locator(".p-dot").get_attribute("cx")
    page.locator(".p-even input").check()
    assert page.locator(".p-dot").get_attribute("cx") != before, "the handle goes to where this λ now lies"
    worst = page.evaluate(
        """() => {
            const { scale } = document.querySelector('.palora').explorer.controls;
            let worst = 0;
            for (let i = 0; i <= 20; i += 1) for (let j = 0; i + j <= 20; j += 1) {
                const at = [i / 20, j / 20, 1 - (i + j) / 20];
                const back = scale.toPlace(scale.toPreference(at));
                worst = Math.max(worst, ...back.map((v, t) => Math.abs(v - at[t])));
            }
            return worst;
        }"""
    )
    assert worst < 1e-3
    page.locator(".p-pad").hover()  # waits until it moves no more
    box = page.locator(".p-pad").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 26 / 214)
    wait_painted(page, [1, 0, 0], 0.02)
    page.locator(".p-pad").press("ArrowDown")
    page.wait_for_function("() => document.querySelector('.palora').explorer.preference[0] < 0.999")
    assert sum(painted(page)) == pytest.approx(1, abs=1e-3)


def test_the_front_keeps_its_zoom(open_page):
    page = open_page("model=two&preference=0.5,0.5")
    wait_for_none(page, MOVING)
    ranges = "() => ['xaxis', 'yaxis'].map((a) => [...document.querySelector('.p-plot')._fullLayout[a].range])"
    box = page.locator(".p-plot .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    before = page.evaluate(ranges)
    page.mouse.up()
    page.wait_for_function(f"(before) => JSON.stringify(({ranges})()) !== JSON.stringify(before)", arg=before)
    zoomed = page.evaluate(ranges)
    drag(page, 0.5, 0.8)
    wait_painted(page, [0.2, 0.8], 0.03)
    page.evaluate("() => document.querySelector('.palora').explorer.front.build()")  # as after a change of theme
    assert page.evaluate(ranges) == [pytest.approx(pair) for pair in zoomed]
    page.locator(".p-axis select").first.select_option(index=2)
    page.wait_for_function(f"(zoomed) => JSON.stringify(({ranges})()) !== JSON.stringify(zoomed)", arg=zoomed)
