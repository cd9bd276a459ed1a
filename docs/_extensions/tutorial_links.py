"""Pages link to the tutorials as programs, which is right in a checkout; on the site the links lead to their pages."""

import re


def setup(app) -> dict[str, bool]:
    """Sphinx calls it once."""
    app.connect("source-read", to_pages)
    return {"parallel_read_safe": True}


def to_pages(app, name: str, source: list[str]) -> None:
    """Let a link to a tutorial's program be one to what the gallery made of it."""
    source[0] = re.sub(r"\]\(((?:\.\./)*)(?:docs/)?tutorials/(\w+)\.py\)", r"](\1auto_tutorials/\2.rst)", source[0])
    source[0] = re.sub(r"\]\(((?:\.\./)*)tutorials\)", r"](\1auto_tutorials/index.rst)", source[0])
