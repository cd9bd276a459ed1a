"""Opening one page of the app in this process."""

import re
from pathlib import Path

from streamlit.testing.v1 import AppTest

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"


def open_on(page: str, **parameters: str) -> AppTest:
    """The page as somebody sees it who comes from Explore."""
    app = AppTest.from_file(str(MAIN), default_timeout=120).run()
    app.switch_page(f"pages/{page}.py")
    app.query_params.clear()
    for name, value in parameters.items():
        app.query_params[name] = value
    return app.run()


def texts(elements) -> str:
    """The text of all elements of a kind."""
    return " ".join(element.value for element in elements)


def spelt(markdown: str) -> str:
    """What Markdown that only escapes shows: without the backslashes, and without the backticks around code."""
    return re.sub(r"\\(.)|(`+)( ?)(.+?)\3\2(?!`)", lambda found: found[1] or found[4], markdown)
