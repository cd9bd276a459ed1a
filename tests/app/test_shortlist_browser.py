"""The shortlist in a browser: kept from page to page, in the link, for oneself alone; side by side and in a duel."""

import pytest

from tests.app.browsing import WAIT
from tests.app.test_views import at, go_to

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

ROWS = "() => [...document.querySelectorAll('.p-bench tbody tr')].map((row) => row.dataset.name)"
LINK = "(name) => new URLSearchParams(location.search).get(name)"


def keep(page, key: str, preference: str) -> None:
    """Go to a corner by key, wait for it, and keep it."""
    page.locator(".p-pad").press(key)
    page.wait_for_selector(f".palora[data-painted='{preference}']")
    page.locator(".p-pin").click()


def linked(page, name: str, value: str) -> None:
    page.wait_for_function(f"([name, value]) => ({LINK})(name) === value", arg=[name, value])


def test_a_shortlist_is_kept_named_linked_and_ones_own(open_page):
    page = open_page("model=three&preference=0,1,0")
    keep(page, "1", "1 0 0")
    keep(page, "2", "0 1 0")
    keep(page, "3", "0 0 1")
    assert page.evaluate(ROWS) == ["", "A", "B", "C"]
    name = page.get_by_label("name of B")
    name.fill("less depth")
    name.press("Enter")
    page.get_by_label("note on A").fill("the usual: 1,2")
    page.get_by_label("note on A").press("Enter")
    linked(page, "kept", "A:1,0,0:the usual%3A 1%2C2;less depth:0,1,0;C:0,0,1")
    linked(page, "against", "C")
    page.locator(".p-chips").get_by_role("button", name="less depth").click()
    linked(page, "against", "less depth")
    page.locator(".p-gallery button").nth(1).click()
    go_to(page, "Probe")
    at(page, "three", [0, 0, 1], "sample-1")
    go_to(page, "Explore")
    at(page, "three", [0, 0, 1], "sample-1")
    assert page.evaluate(ROWS) == ["", "A", "less depth", "C"]
    link = page.url.partition("?")[2]
    other = open_page(link)
    at(other, "three", [0, 0, 1], "sample-1")
    assert other.evaluate(ROWS) == ["", "A", "less depth", "C"]
    assert other.get_by_label("note on A").input_value() == "the usual: 1,2"
    other.get_by_role("button", name="remove A").click()
    linked(other, "kept", "less depth:0,1,0;C:0,0,1")
    assert page.evaluate(ROWS) == ["", "A", "less depth", "C"], "another browser's shortlist is its own"
    stranger = open_page("model=three&preference=0,1,0")
    assert stranger.evaluate(ROWS) == [] or stranger.locator(".p-bench").is_hidden()


def test_candidates_stand_side_by_side_and_in_a_duel(open_page):
    page = open_page("model=three&preference=0,1,0&kept=A:1,0,0;B:0,1,0&against=A")
    page.wait_for_selector(".palora[data-pinned='1 0 0']")
    page.get_by_role("button", name="Side by side").click()
    page.wait_for_selector(".p-beside[data-painted='sample-0']")
    assert page.locator(".p-beside canvas").count() == 6, "three tasks of two candidates"
    picture = "() => document.querySelectorAll('.p-beside canvas')[1].toDataURL()"
    prediction = page.evaluate(picture)
    page.get_by_role("button", name="Differences").click()
    assert page.evaluate(picture) != prediction
    told = page.locator(".p-beside small").all_inner_texts()
    assert told[0] == "" and told[1].startswith("differs from A:") and told[1].endswith("of the pixels")
    page.get_by_role("button", name="Duel").press("Enter")
    page.wait_for_selector(".p-duel[open][data-painted='A B']")
    shown = page.locator(".p-duel tr", has_text="mIoU").locator("td").all_inner_texts()
    row = page.locator(".p-bench tr[data-name=B] td").nth(1).inner_text().split()
    assert [*shown[1].split(), shown[2]] == row, "the table and the duel tell the same figures"
    page.keyboard.press("Escape")
    expect(page.locator(".p-duel")).to_be_hidden(timeout=WAIT)
    page.locator(".p-gallery button").nth(1).click()
    page.wait_for_selector(".p-beside[data-painted='sample-1']")


def test_six_are_as_many_as_it_takes(open_page):
    kept = ";".join(f"{name}:{i / 10:g},{1 - i / 10:g},0" for i, name in enumerate("ABCDEF"))
    page = open_page(f"model=three&preference=0,0,1&kept={kept};G:0,0,1")
    expect(page.get_by_text("Left out of this link")).to_be_visible(timeout=WAIT)
    assert page.evaluate(ROWS) == ["", *"ABCDEF"] and page.locator(".p-pin").is_disabled()
    assert page.locator(".p-candidate").count() == 6 and page.locator(".p-mark").count() == 6
    page.get_by_role("button", name="remove C").press("Enter")
    assert page.evaluate(ROWS) == ["", *"ABDEF"] and page.locator(".p-pin").is_enabled()


def test_figures_are_rounded_as_in_python(open_page):
    from palora_core.objectives.figures import change, figure
    from tests.test_figures import GRID

    cases = [[a, b, unit] for a in GRID for b in GRID for unit in ("%", "m", "") if 1e-5 < abs(a) < 1e6 > abs(b)]
    found = open_page("model=two").evaluate(
        """async (cases) => {
            const [script] = performance.getEntriesByType('resource').filter(({ name }) => name.includes('numbers.js'));
            const { changeWithUnit, withUnit } = await import(script.name);
            return cases.map(([a, b, unit]) => [withUnit(a, unit), changeWithUnit(a, b, unit)]);
        }""",
        cases,
    )
    assert found == [[figure(a, unit), change(a, b, unit)] for a, b, unit in cases]
