"""Texts of others reach the reader letter by letter: asked of a browser, where Streamlit and plotly read them."""

import html
import sys

import pytest

from app.components.plain import in_figure, plain
from tests.app import letters
from tests.app.browsing import WAIT, settle
from tests.app.pages import spelt
from tests.app.servers import running

SHOWN = """() => [...document.querySelectorAll('[class*="st-key-text"]')].map((box) => {
    const icons = box.querySelectorAll('[data-testid=stAlertDynamicIcon], [role=img]');
    icons.forEach((icon) => icon.remove());
    const told = [...box.querySelectorAll('[data-testid=stMarkdownContainer], [data-testid=stCaptionContainer], h3')];
    return [box.className.match(/st-key-text(\\d+)/)[1], told.map((one) => one.textContent.trim())]; })"""


def test_escaping_adds_no_letters():
    for text in letters.texts(2000):
        assert spelt(plain(text)) == text
        assert html.unescape(in_figure(text)) == text and "%{" not in in_figure(text)


def test_lines_become_one():
    assert plain("a\r\nb\nc") == "a  b c"


@pytest.mark.browser
def test_texts_are_shown_letter_by_letter(chromium, tmp_path):
    options = ["--server.address", "127.0.0.1", "--browser.gatherUsageStats", "false"]  # as the dashboard has them
    options += ["--server.fileWatcherType", "none"]
    script = ["-m", "streamlit", "run", letters.__file__, *options, "--server.port"]
    with running(lambda port: [sys.executable, *script, port], tmp_path / "log.txt") as (address, _):
        page = chromium.new_page()
        page.set_default_timeout(WAIT)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector(".legendtext")
        settle(page)
        names = page.eval_on_selector_all(".legendtext", "(all) => all.map((one) => one.textContent)")
        shown = page.evaluate(SHOWN)
        boxes = "[class*='st-key-text']"
        assert page.locator(f"{boxes} :is(img, a, .katex, strong strong, em, del)").count() == 0
        page.close()
    expected = letters.texts()
    assert names == letters.texts(0) and len(shown) == len(expected)
    wrong = [(expected[int(number)], told) for number, told in shown if set(told) != {expected[int(number)].strip()}]
    assert not wrong
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
