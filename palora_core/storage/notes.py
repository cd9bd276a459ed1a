"""What people call a run and say about it: ``note.json`` in its folder, beside what the training writes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from palora_core.errors import UserError
from palora_core.storage.reading import SMALL, read_json
from palora_core.storage.writing import write_json

NOTE = "note.json"
MOST_OF_NAME = 80
MOST_OF_TEXT = 2000
MOST_OF_TAG, MOST_TAGS = 24, 12


@dataclass(frozen=True)
class Note:
    """A person's words on a run.

    Attributes:
        name: what they call it, one line; "" for a run without a name of its own.
        text: what they say about it.
        tags: words by which they find it again.
    """

    name: str = ""
    text: str = ""
    tags: tuple[str, ...] = ()

    @staticmethod
    def of(name: object, text: object, tags: object = ()) -> Note:
        """From what was typed, or found in a file: texts only, printable, no longer than allowed.

        Args:
            name: what a run is called.
            text: what is said about it.
            tags: a list of them, or one text with commas between.
        """
        line = _printable(name, "").split() if isinstance(name, str) else []
        words = _printable(text, "\n").strip() if isinstance(text, str) else ""
        return Note(" ".join(line)[:MOST_OF_NAME].strip(), words[:MOST_OF_TEXT].strip(), _tags(tags))

    @staticmethod
    def read(folder: Path) -> Note:
        """The note of a run folder; an empty one where there is none that can be read. Never raises."""
        try:
            data = read_json(folder / NOTE, "note", SMALL)
        except UserError:
            return Note()
        return Note.of(data.get("name"), data.get("text"), data.get("tags")) if isinstance(data, dict) else Note()

    def write(self, folder: Path) -> None:
        """Keep it in a run folder; an empty note is no file."""
        if self == Note():
            (folder / NOTE).unlink(missing_ok=True)
        else:
            write_json(folder / NOTE, asdict(self))


def _tags(given: object) -> tuple[str, ...]:
    """Each once, in small letters, without the commas that part them."""
    parts = given.split(",") if isinstance(given, str) else given if isinstance(given, list | tuple) else []
    texts = [_printable(part[:MOST_OF_NAME], "").replace(",", " ") for part in parts[:1000] if isinstance(part, str)]
    found = (" ".join(text.split())[:MOST_OF_TAG].strip().lower() for text in texts)
    return tuple(dict.fromkeys(tag for tag in found if tag))[:MOST_TAGS]


def _printable(text: str, kept: str) -> str:
    return "".join(c if c.isprintable() or c in kept else " " for c in text[: 4 * MOST_OF_TEXT])
