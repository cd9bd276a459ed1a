"""Waiting in a browser for what a page comes to be: never for a while, and never just looking at once."""

import pytest

# Milliseconds; generous, as other work may leave little of the processor. Nothing waits this long on an idle machine.
WAIT = 120_000


def settle(page) -> None:
    """Wait until Streamlit has laid out the whole page, in its own fonts."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.evaluate("async () => void (await document.fonts.ready)")


def wait_for_none(page, problems: str, argument=None, frames: int = 30) -> None:
    """Wait until the list that the function ``problems`` of the page returns stays empty for so many frames."""
    from playwright.sync_api import TimeoutError as TooLate

    calm = f"""([argument, frames]) => {{
        window.calm = ({problems})(argument).length ? 0 : window.calm + 1;
        return window.calm >= frames; }}"""
    page.evaluate("() => void (window.calm = 0)")
    try:
        page.wait_for_function(calm, arg=[argument, frames])
    except TooLate:
        pytest.fail(f"still {page.evaluate(problems, argument)}")
