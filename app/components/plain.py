"""Names and sentences from files and forms, shown as the texts that they are: no character more, none less."""

from __future__ import annotations

import html
import re
import string

# CommonMark takes every ASCII punctuation character behind a backslash for itself; Streamlit's own marks
# (``:red[…]``, ``:material/…:``, ``$…$``) are made of such characters too.
_LITERAL = str.maketrans({character: f"\\{character}" for character in string.punctuation} | {"\n": " ", "\r": " "})

# Words in which Streamlit reads something though they are escaped: arrows and the like, addresses of pages and people,
# icons and emoji. Within code it reads nothing, but for the beginning of an icon, which it replaces everywhere.
_ARROW = re.compile(r"<->|->|<-|--|>=|<=|~=")
_READ = re.compile(r"https?://|www\.|@|:[\w+-]+[:/]", re.IGNORECASE)
_ICON = re.compile(r"(?<=:material)/")


def plain(text: str) -> str:
    """A text as a Markdown element or a label shows it letter by letter."""
    return "".join(map(_shown, re.split(r"(\s+)", text)))


def _shown(word: str) -> str:
    if not (_ARROW.fullmatch(word) or _READ.search(word)):
        return word.translate(_LITERAL)
    return r"\/".join(_code(part) for part in _ICON.split(word))


def _code(word: str) -> str:
    """A word as code, within more backticks than there are in it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", word)), default=0))
    space = " " if "`" in (word[:1], word[-1:]) else ""
    return f"{fence}{space}{word}{space}{fence}" if word else ""


def in_figure(text: str) -> str:
    """A text as plotly shows it letter by letter: no tags, and no ``%{…}`` that a template would fill in."""
    return html.escape(text, quote=False).replace("%{", "%&#123;")
