"""A text in a real browser: coloured while λ moves, it goes on when λ rests, and two λ stand side by side."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.app.browsing import WAIT
from tests.app.servers import running

SERVE = Path(__file__).with_name("serve.py")


@pytest.fixture(scope="module")
def server(language_root, tmp_path_factory):
    settings = {"PALORA_MODELS": str(language_root), "PALORA_RUNS": str(language_root / "none")}
    settings |= {"PALORA_PLUGINS": "tests.app.tiny_language", "PYTHONPATH": str(SERVE.parents[2])}
    log = tmp_path_factory.mktemp("texts") / "log.txt"
    with running(lambda port: [sys.executable, str(SERVE), port], log, **settings) as (address, _):
        yield address


def backgrounds(page) -> list[str]:
    return page.locator(".p-words span").evaluate_all("nodes => nodes.map((n) => n.style.background)")


def following(page) -> list[str]:
    """Next words from top to bottom."""
    rows = page.locator(".p-next .p-bar").evaluate_all(
        "nodes => nodes.map((n) => [Number(n.style.transform.match(/[\\d.]+/)[0]), n.firstChild.textContent])"
    )
    return [word for _, word in sorted(rows)]


@pytest.mark.browser
def test_a_text_is_steered(server, chromium):
    page = chromium.new_page()
    page.set_default_timeout(WAIT)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{server}/?model=tiny&preference=0.34,0.33,0.33&sample=sample-1")
    page.wait_for_selector(".p-joint[data-coloured][data-written='0.34 0.33 0.33']")
    assert page.locator(".p-words").inner_text().startswith("Up betimes, and by water")
    assert page.locator(".p-now-text p").inner_text().startswith("…")
    assert page.locator(".p-perplexities .p-row b").all_inner_texts()[0] != "–"
    before = backgrounds(page), following(page)

    page.locator(".p-pad").press("1")
    page.wait_for_selector(".p-joint[data-coloured='1 0 0'][data-written='1 0 0']")
    after = backgrounds(page), following(page)
    assert before[0] != after[0] and before[1] != after[1], "words change colour, and which come next"
    first = page.locator(".p-now-text p").inner_text()

    page.get_by_role("button", name="Keep", exact=True).click()
    page.locator(".p-pad").press("2")
    page.wait_for_selector(".p-joint[data-written='0 1 0']")
    texts = [page.locator(f".p-{name}-text p").inner_text() for name in ("pinned", "now")]
    assert texts[0] == first != texts[1], "both stand side by side"
    assert any(page.locator(".p-perplexities .p-delta").all_inner_texts()), "and what changed in figures"

    page.locator(".p-pad").press("1")
    page.wait_for_selector(".p-joint[data-written='1 0 0']")
    assert page.locator(".p-now-text p").inner_text() == first, "with one seed λ alone makes a difference"
    page.get_by_role("button", name="Other words").click()
    page.wait_for_selector(".p-joint[data-liked='1 0 0']")
    assert page.locator(".p-now-text p").inner_text() != first
    second = page.locator(".p-now-text p").text_content()
    words = page.locator(".p-now-text p span")
    assert second == "… " + "".join(words.all_text_contents())
    colours = words.evaluate_all("nodes => nodes.map((n) => n.style.borderBottomColor)")
    assert len(set(colours)) > 1, "words that were written are coloured like those of the text"

    page.wait_for_function("() => location.search.includes('seed=1')")
    page.goto(page.url)
    page.wait_for_selector(".p-joint[data-liked='1 0 0']")
    assert page.locator(".p-now-text p").text_content() == second, "a link has the same words"
    assert not wrong
    page.close()


@pytest.mark.browser
def test_a_text_of_ones_own_goes_on_off_the_simplex(server, chromium):
    page = chromium.new_page()
    page.set_default_timeout(WAIT)
    page.goto(f"{server}/?model=tiny")
    page.wait_for_selector(".p-joint[data-coloured]")
    page.get_by_role("button", name="Your text").click()
    page.locator("textarea").fill("Zwölf Boxkämpfer 🥊")
    page.get_by_role("button", name="Use it").click()
    page.wait_for_function("() => document.querySelector('.p-words')?.innerText.startsWith('Zwölf Boxkämpfer 🥊')")
    page.get_by_role("link", name="Probe").click()
    page.wait_for_selector(".p-joint[data-coloured]")
    page.get_by_role("button", name="Take away").click()
    page.get_by_role("button", name="Go to (1, −1, 0)").click()
    page.wait_for_selector(".p-joint[data-liked='1 -1 0']")
    page.get_by_role("button", name="Other words").click()
    page.wait_for_selector(".p-joint[data-liked='1 -1 0']")
    page.wait_for_function("() => location.search.includes('seed=1')")
    assert "off the simplex" in page.locator(".q-where").inner_text()
    page.close()
