"""A person's words on a run are kept in its folder, and reading them is total."""

import json
import os

import pytest

from palora_core.storage.notes import MOST_OF_NAME, MOST_OF_TEXT, NOTE, Note


def test_a_note_is_kept_and_an_empty_one_is_no_file(tmp_path):
    assert Note.read(tmp_path) == Note()
    note = Note.of("  my\n run ", "first line\nsecond line ")
    note.write(tmp_path)
    assert Note.read(tmp_path) == note == Note("my run", "first line\nsecond line")
    Note().write(tmp_path)
    assert not (tmp_path / NOTE).exists()


def test_words_are_printable_and_no_longer_than_allowed():
    note = Note.of("x\x00\x1b[31m" + "y" * 500, "z" * 10**6)
    assert note.name.isprintable() and len(note.name) <= MOST_OF_NAME and len(note.text) <= MOST_OF_TEXT
    assert Note.of(3, None) == Note()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"3",
        b"null",
        b'{"name": 3, "text": {}}',
        b'{"name": null}',
        b"[" * 20_000,
        b'{"name": "' + b"a" * 2**20 + b'"}',
    ],
)
def test_whatever_lies_there_is_read_as_a_note(tmp_path, content):
    (tmp_path / NOTE).write_bytes(content)
    assert Note.read(tmp_path) == Note()


def test_a_folder_or_a_pipe_in_its_place_is_no_note(tmp_path):
    (tmp_path / "a" / NOTE).mkdir(parents=True)
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / NOTE)
    assert Note.read(tmp_path / "a") == Note.read(tmp_path / "b") == Note.read(tmp_path / "none") == Note()


def test_half_of_a_character_is_read_and_can_be_written(tmp_path):
    (tmp_path / NOTE).write_text(json.dumps({"name": "\ud800", "text": "ok"}))
    note = Note.read(tmp_path)
    note.write(tmp_path)
    assert note.text == "ok"
