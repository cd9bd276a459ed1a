"""What a person sees of a model is one view: λ, sample and pin stay the same from page to page, by every way."""

import json
import shutil

import pytest
from streamlit.testing.v1 import AppTest

from app.serving.protocol import snap
from palora_core.objectives.figures import change, figure
from tests.app.browsing import WAIT, settle
from tests.app.pages import MAIN
from tests.app.servers import ROOT

expect = pytest.importorskip("playwright.sync_api").expect
SHIPPED = ROOT / "trained_models" / "multimnist-methods"
VIEW = """() => {
    const { explorer, dataset } = document.querySelector('.palora');
    const parameters = Object.fromEntries(new URLSearchParams(location.search));
    return { model: explorer.data.model, image: explorer.image, preference: explorer.preference,
             address: parameters.preference, linked: parameters.model, painted: dataset.painted };
}"""


def at(page, model: str, preference: list[float], image: str) -> dict:
    """Wait until the page shows this view, in its pictures and in its address."""
    page.wait_for_function(
        f"""(wanted) => {{
            if (!document.querySelector('.palora')?.explorer) return false;
            const view = ({VIEW})();
            return view.model === wanted.model && view.linked === wanted.model && view.image === wanted.image
                && view.preference.join() === wanted.preference && view.address === wanted.preference
                && view.painted === wanted.preference.replaceAll(',', ' ');
        }}""",
        arg={"model": model, "image": image, "preference": ",".join(f"{v:g}" for v in preference)},
    )
    settle(page)


def on(page, name: str) -> None:
    """Wait until the address is this page's: the one before it may show the same view for a moment longer."""
    path = "" if name == "Explore" else name.lower()
    page.wait_for_function("(path) => location.pathname === `/${path}`", arg=path)


def go_to(page, name: str) -> None:
    page.locator("[data-testid=stSidebarNavLink]", has_text=name).click()
    on(page, name)


@pytest.mark.browser
def test_a_tour_by_links_and_back_keeps_model_preference_and_sample(open_page):
    page = open_page("model=two&preference=0.2,0.8&sample=sample-2")
    here = ("two", [0.2, 0.8], "sample-2")
    at(page, *here)
    began = page.evaluate("() => history.length")
    for name in ("Probe", "Explore", "Probe"):
        go_to(page, name)
        at(page, *here)
    assert page.evaluate("() => history.length") == began + 3, "a page is one step of the history"
    for name in ("Explore", "Probe", "Explore"):  # every press of Back is a page
        page.go_back()
        on(page, name)
        at(page, *here)


def arrive(page, name: str, here: tuple) -> None:
    """Wait until a page of this name is whole; those that show the model show this view."""
    on(page, name)
    if name in ("Explore", "Probe"):
        at(page, *here)
    elif name == "Compare":  # it shows the model's benchmark, at its λ
        page.wait_for_function(
            "(told) => new URLSearchParams(location.search).get('preference') === told",
            arg=",".join(f"{v:g}" for v in here[1]),
        )
    elif name == "Learn":
        page.wait_for_function("() => location.search === '?step=2'")
    settle(page)
    page.locator("[data-testid=stSidebarNavLink][aria-current=page]", has_text=name).wait_for()


@pytest.mark.browser
def test_a_tour_over_all_pages_by_keyboard_and_back(open_page):
    here = ("two", [0.2, 0.8], "sample-2")
    page = open_page("model=two&preference=0.2,0.8&sample=sample-2")
    at(page, *here)
    tour = ("Explore", "Probe", "Learn", "Compare", "Models", "Explore", "Train", "Probe")
    began = page.evaluate("() => history.length")
    for name in tour[1:]:
        page.locator("[data-testid=stSidebarNavLink]", has_text=name).focus()
        page.keyboard.press("Enter")
        if name == "Learn":
            page.get_by_role("button", name="Next:").press("Enter")
        arrive(page, name, here)
    assert page.evaluate("() => history.length") == began + len(tour) - 1, "a page is one step of the history"
    for name in tour[-2::-1]:
        page.go_back()
        arrive(page, name, here)


@pytest.mark.browser
@pytest.mark.parametrize("way", [("Probe", "Learn", "Explore"), ("Compare", "Explore"), ("Models", "Train", "Probe")])
def test_a_deep_link_is_kept_on_the_pages_after_it(open_page, server, way):
    here = ("two", [0.2, 0.8], "sample-2")
    page = open_page("", painted=False)
    page.goto(f"{server}/probe?model=two&preference=0.2,0.8&sample=sample-2")
    at(page, *here)
    for name in way:
        go_to(page, name)
        if name == "Learn":
            page.get_by_role("button", name="Next:").click()
        arrive(page, name, here)


@pytest.mark.browser
def test_what_is_chosen_on_one_page_stands_on_the_other(open_page):
    page = open_page("model=three")
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="Toy streets, two tasks").click()
    at(page, "two", [0.5, 0.5], "sample-0")
    page.locator(".p-gallery button").nth(1).click()
    page.locator(".p-sliders input[type=number]").first.fill("0.7")
    page.keyboard.press("Enter")
    at(page, "two", [0.7, 0.3], "sample-1")
    go_to(page, "Probe")
    at(page, "two", [0.7, 0.3], "sample-1")
    page.get_by_role("button", name="(1, 0)").click()
    at(page, "two", [1, 0], "sample-1")
    page.get_by_role("button", name="(1, −1)").click()  # off the simplex: the Probe page's own
    at(page, "two", [1, -1], "sample-1")
    go_to(page, "Explore")
    at(page, "two", [1, 0], "sample-1")
    expect(page.get_by_text("off the simplex")).to_be_visible(timeout=WAIT)


def told(app: AppTest) -> dict:
    return json.loads(app.get("bidi_component")[0].proto.json)


def test_a_link_counts_once_and_a_choice_after_it_wins(roots):
    app = AppTest.from_file(str(MAIN), default_timeout=200)
    app.query_params.update({"model": "two", "preference": "0.2,0.8", "sample": "sample-1", "pinned": "1,0"})
    data = told(app.run())
    kept = data["shortlist"]
    assert (data["model"], data["preference"], kept["against"]) == ("two", [0.2, 0.8], "A")
    assert [one["preference"] for one in kept["candidates"]] == [[1, 0]], "what links of old have pinned is a candidate"
    app.selectbox(key="model").set_value("three").run()
    assert told(app)["model"] == "three", "the address in the browser is still that of the link"
    app.selectbox(key="model").set_value("two").run()
    assert told(app)["preference"] == [0.2, 0.8] and len(told(app)["shortlist"]["candidates"]) == 1
    app.query_params.clear()
    app.query_params.update({"model": "three"})
    assert told(app.run())["model"] == "three", "another link does count"


@pytest.mark.browser
def test_one_preference_is_one_preference_everywhere(open_page, roots):
    """λ in the server's four decimals; pictures of that very λ as soon as the handle rests; figures as elsewhere."""
    from app.components import side_by_side
    from app.exports.report.gather import gather

    wanted = [0.3133, 0.2134, 0.4733]
    page = open_page("model=three&preference=0.3133,0.2134,0.4733&sample=sample-1")
    at(page, "three", wanted, "sample-1")
    shown = page.evaluate("() => document.querySelector('.palora').explorer.latest.header.metrics")
    assert side_by_side.predict(roots, "three", "sample-1", wanted).metrics == shown, "Compare and Probe ask so"
    report = gather(roots, roots.registry.get("three"), "sample-1", "sample 2", wanted)
    miou = next(row for row in report.tasks[0].metrics if row[0] == "mIoU")
    text = page.locator("[data-task=segmentation] .p-main").inner_text()
    assert f"{miou[2]} (here {miou[3]})" in text, (miou, text)
    go_to(page, "Probe")
    at(page, "three", wanted, "sample-1")
    page.wait_for_function(
        """(wanted) => JSON.stringify(document.querySelector('.probe').explorer?.latest?.header.metrics) === wanted""",
        arg=page.evaluate("(shown) => JSON.stringify(shown)", shown),
    )


@pytest.mark.browser
def test_the_browser_rounds_as_the_server_does(open_page):
    rows = [
        [1 / 3] * 3,
        [1 / 7] * 7,
        [0.00005, 0.99995],
        [0.12345, 0.87655],
        [1, -1],
        [-0.33335, 0.5],
        [0.25, 0.25, 0.5],
    ]
    rows += [[i / 97, j / 97, (97 - i - j) / 97] for i in range(0, 97, 13) for j in range(0, 97 - i, 11)]
    found = open_page("model=two").evaluate(
        """async (rows) => {
            const [script] = performance.getEntriesByType('resource').filter(({ name }) => name.includes('simplex.js'));
            const { rounded } = await import(script.name);
            return rows.map(rounded);
        }""",
        rows,
    )
    assert found == [list(snap(row, exact=True)) for row in rows]


# -- pinning ----------------------------------------------------------------------------------------------------------
# How far the pad is below the pictures, wherever the page is scrolled to.
BELOW = """() => ['.p-pad', '.p-figures'].map((name) => document.querySelector(name).getBoundingClientRect().y)
    .reduce((pad, figures) => Math.round(pad - figures))"""
CANVAS = "(task) => document.querySelector(`[data-task=${task}] canvas`).toDataURL()"


@pytest.mark.browser
def test_a_pin_stays_and_is_compared_in_every_view(open_page):
    page = open_page("model=three&preference=0,1,0")
    at(page, "three", [0, 1, 0], "sample-0")
    top = page.locator(".p-panel[data-task=depth]").bounding_box()["y"]
    page.locator(".p-pin").click()
    page.wait_for_selector(".palora[data-pinned='0 1 0']")
    assert page.locator(".p-panel[data-task=depth]").bounding_box()["y"] == top, "the panels stay where they are"
    page.locator(".p-pad").press("1")
    at(page, "three", [1, 0, 0], "sample-0")
    delta = page.locator("[data-task=segmentation] .p-main .p-delta")
    expect(delta).not_to_have_text("", timeout=WAIT)
    now, before = page.evaluate(
        """() => [[1, 0, 0], [0, 1, 0]].map((preference) =>
            document.querySelector('.palora').explorer.onSplit(preference)['segmentation/miou'])"""
    )
    assert delta.inner_text().strip() + " points" == change(now, before, "%")
    assert f"A {figure(before, '%')}" in page.locator("[data-task=segmentation] .p-main").get_attribute("title")
    for view in ("Error", "Change"):
        page.locator("[data-task=depth]").get_by_role("button", name=view).click()
        if view == "Error":
            page.wait_for_function("() => document.querySelector('.palora').explorer.panels[1].pinnedLayers.error")
            seen = page.evaluate(CANVAS, "depth")
            page.locator(".p-wipe input").fill("90")
            assert page.evaluate(CANVAS, "depth") != seen, "the wipe works on errors too"
        else:
            expect(page.locator("[data-task=depth] .p-legend")).to_contain_text("on average", timeout=WAIT)
    page.locator(".p-gallery button").nth(1).click()
    at(page, "three", [1, 0, 0], "sample-1")
    assert page.locator(".p-chips [aria-pressed=true]").inner_text() == "A", "another sample, the same candidate"
    page.wait_for_function("() => document.querySelector('.palora').explorer.comparison.keptMetrics")
    go_to(page, "Probe")
    at(page, "three", [1, 0, 0], "sample-1")
    go_to(page, "Explore")
    at(page, "three", [1, 0, 0], "sample-1")
    page.wait_for_selector(".palora[data-pinned='0 1 0']")
    page.wait_for_function("() => new URLSearchParams(location.search).get('kept') === 'A:0,1,0'")


@pytest.mark.browser
def test_the_change_is_what_the_network_changes(open_page, roots):
    """Pixels of another class, mean differences of depth and angle, against the served network's own outputs.

    Not against the plain one's: rounding may change which of four pixels a pool takes, and this toy blows it up.
    """
    import torch

    from palora_core.serving import LiveNetwork

    page = open_page("model=three&preference=1,0,0&pinned=0,1,0")
    at(page, "three", [1, 0, 0], "sample-0")
    page.wait_for_selector(".palora[data-pinned='0 1 0']")
    found = page.evaluate(
        """() => document.querySelector('.palora').explorer.panels.map((panel) => {
            panel.show('change');
            return panel.meanChange; })"""
    )
    loaded = roots.registry.get("three")
    network = LiveNetwork(loaded.model, loaded.example, caller=loaded.caller)
    now, then = (
        {name: out[0] for name, out in network(loaded.example[:1], torch.tensor(λ)).items()}
        for λ in ([1.0, 0, 0], [0, 1.0, 0])
    )
    low, high = loaded.views["depth"].extent
    labels = (now["segmentation"].argmax(0) != then["segmentation"].argmax(0)).float().mean()
    depth = (now["depth"].clamp(low, high) - then["depth"].clamp(low, high)).abs().mean()
    cosine = torch.nn.functional.cosine_similarity(now["normals"], then["normals"], dim=0)
    angle = torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).mean()
    assert found[0] == pytest.approx(float(labels), abs=2e-3)
    assert found[1] == pytest.approx(float(depth), abs=(high - low) / 200)
    assert found[2] == pytest.approx(float(angle), abs=0.5)


@pytest.mark.browser
def test_the_front_marks_the_pinned_preference_too(open_page):
    page = open_page("model=three&preference=0,1,0&pinned=1,0,0")
    at(page, "three", [0, 1, 0], "sample-0")
    page.wait_for_selector(".p-mark:not([hidden])")
    places = page.evaluate(
        """() => {
            const { front } = document.querySelector('.palora').explorer;
            const { xaxis, yaxis } = front.plot._fullLayout;
            return ['.p-marker', '.p-mark'].map((name, i) => {
                const boxes = [document.querySelector(name), front.plot].map((node) => node.getBoundingClientRect());
                const [box, plot] = boxes;
                const [x, y] = front.axes.map((axis) => front.at(axis, [[0, 1, 0], [1, 0, 0]][i]));
                return [box.x + box.width / 2 - plot.x - xaxis._offset - xaxis.l2p(x),
                        box.y + box.height / 2 - plot.y - yaxis._offset - yaxis.l2p(y)]; }); }"""
    )
    assert all(abs(off) < 1 for place in places for off in place), "both stand where the front is at their λ"
    page.get_by_role("button", name="3-D").click()
    drawn = "() => document.querySelector('.p-plot').data.slice(1).map(({ x, y, z }) => [x[0], y[0], z[0]])"
    page.wait_for_function(f"() => ({drawn})().length === 2 && ({drawn})().flat().every(Number.isFinite)")
    now, kept = page.evaluate(drawn)
    assert now != kept
    page.get_by_role("button", name="remove A").click()
    page.wait_for_function(f"() => ({drawn})()[1].every((value) => value == null)")
    page.get_by_role("button", name="3-D").click()
    page.wait_for_selector(".p-marker:not([hidden])")
    assert page.locator(".p-mark").count() == 0


@pytest.mark.browser
def test_on_a_phone_pinning_moves_nothing(open_page):
    page = open_page(
        "model=three&preference=0,1,0", before=lambda page: page.set_viewport_size({"width": 390, "height": 844})
    )
    at(page, "three", [0, 1, 0], "sample-0")
    place = page.evaluate(BELOW)
    page.locator(".p-pin").click()
    page.wait_for_selector(".palora[data-pinned='0 1 0']")
    assert page.locator(".p-wipe").is_visible() and page.evaluate(BELOW) == place
    page.get_by_role("button", name="remove A").click()
    assert not page.locator(".p-wipe").is_visible() and page.evaluate(BELOW) == place


@pytest.fixture
def solution(run_root):
    """A shipped network of one trade-off among the runs, for as long as one test."""
    folder = shutil.copytree(SHIPPED / "uw-s0", run_root / "solution")
    shutil.copy(SHIPPED / "samples.npz", folder)
    yield "run:solution"
    shutil.rmtree(folder)


@pytest.mark.browser
def test_a_single_solution_says_so_instead_of_a_pad(open_page, solution):
    page = open_page(f"model={solution}")
    expect(page.locator(".p-fixed")).to_contain_text("trained for one trade-off", timeout=WAIT)
    assert page.locator(".palora").get_by_role("heading", name="One solution").is_visible()
    for steering in (".p-pad", ".p-pin", ".p-wipe", ".p-sliders", ".p-front"):
        assert page.locator(steering).is_hidden(), steering
    assert page.get_by_role("button", name="Find a preference").count() == 0
    painted = page.locator(".palora").get_attribute("data-painted")
    page.locator(".p-gallery button").nth(1).click()
    page.wait_for_function("() => document.querySelector('.palora').explorer.latest.image === 'sample-1'")
    assert page.locator(".palora").get_attribute("data-painted") == painted, "another sample, the same network"
