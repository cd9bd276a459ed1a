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


@dataclass(frozen=True)
class Note:
    """A person's words on a run.

    Attributes:
        name: what they call it, one line; "" for a run without a name of its own.
        text: what they say about it.
    """

    name: str = ""
    text: str = ""

    @staticmethod
    def of(name: object, text: object) -> Note:
        """From what was typed, or found in a file: texts only, printable, no longer than allowed."""
        line = _printable(name, "").split() if isinstance(name, str) else []
        words = _printable(text, "\n").strip() if isinstance(text, str) else ""
        return Note(" ".join(line)[:MOST_OF_NAME].strip(), words[:MOST_OF_TEXT].strip())

    @staticmethod
    def read(folder: Path) -> Note:
        """The note of a run folder; an empty one where there is none that can be read. Never raises."""
        try:
            data = read_json(folder / NOTE, "note", SMALL)
        except UserError:
            return Note()
        return Note.of(data.get("name"), data.get("text")) if isinstance(data, dict) else Note()

    def write(self, folder: Path) -> None:
        """Keep it in a run folder; an empty note is no file."""
        if self == Note():
            (folder / NOTE).unlink(missing_ok=True)
        else:
            write_json(folder / NOTE, asdict(self))


def _printable(text: str, kept: str) -> str:
    return "".join(c if c.isprintable() or c in kept else " " for c in text[: 4 * MOST_OF_TEXT])
