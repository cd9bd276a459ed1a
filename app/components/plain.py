"""Names and sentences from files and forms, shown as the texts that they are."""

from __future__ import annotations

import html
import re
import string

# CommonMark takes every ASCII punctuation character behind a backslash for itself; Streamlit's own marks
# (``:red[…]``, ``:material/…:``, ``$…$``) and links that begin by themselves are made of such characters too.
_LITERAL = str.maketrans({character: f"\\{character}" for character in string.punctuation} | {"\n": " ", "\r": " "})


# Read in the text that is left after escaping: emoji and icons, addresses, arrows and dashes. A joiner, which takes no
# room and shows nothing, takes them apart.
_READ_LATER = re.compile(
    r"(?<=:)(?=[\w/+-]+:)|(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)(?=\w)|(?<=[<-])(?=[-=>])|(?<=[>~])(?==)", re.IGNORECASE
)


def plain(text: str) -> str:
    """A text as a Markdown element or a label shows it letter by letter."""
    return _READ_LATER.sub("\u2060", text).translate(_LITERAL)


def in_figure(text: str) -> str:
    """A text as plotly shows it letter by letter: no tags, and no ``%{…}`` that a template would fill in."""
    return html.escape(text, quote=False).replace("%{", "%\u200b{")
