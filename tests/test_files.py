"""Files are whole or not there, have the permissions that the umask leaves, and failures to write are one sentence."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from palora_core.errors import UserError
from palora_core.storage.runs import Run
from palora_core.storage.writing import is_sealed, seal, write_atomically, write_json


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """As on a full disk: no file takes more than ``most`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(100_000))


WRITERS = {
    "text": lambda path: path.write_text("x" * 100_000),
    "torch": lambda path: torch.save({"a": torch.ones(100_000)}, path),
    "safetensors": lambda path: save_file({"a": torch.ones(100_000)}, path),
    "numpy": _npz,
}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002, 0o077])
@pytest.mark.parametrize("kind", WRITERS)
def test_files_follow_the_umask(tmp_path, kind, umask):
    before = os.umask(umask)
    try:
        for _ in range(2):  # new, and replaced
            write_atomically(tmp_path / "file", WRITERS[kind])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(tmp_path, kind):
    path = tmp_path / "file"
    path.write_text("old")
    with small_files(50_000), pytest.raises(UserError, match=r"file cannot be written \(.+\); make room"):
        write_atomically(path, WRITERS[kind])
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_event_on_a_full_disk_is_one_sentence(tmp_path):
    with small_files(10), pytest.raises(UserError, match=r"events\.jsonl cannot be written"):
        Run(tmp_path).event("step", step=1)


def test_a_file_in_the_folders_place_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written \(.*directory|exists"):
        write_json(tmp_path / "file" / "below.json", {})


def test_errors_of_another_kind_are_left_as_they_are(tmp_path):
    for error in (RuntimeError("no"), KeyError("no"), KeyboardInterrupt()):

        def fail(path: Path, error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            write_atomically(tmp_path / "file", fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"abc", b"x" * (1 << 20), bytes(3_000_000)])
def test_a_sealed_file_knows_every_bit_of_it(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert not is_sealed(path)
    seal(path)
    assert is_sealed(path)
    whole = path.read_bytes()
    places = {0, len(whole) - 1, len(whole) - 65, len(whole) - 66, len(whole) // 2}
    for place in sorted(place for place in places if place >= 0):
        flipped = bytearray(whole)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        assert not is_sealed(path)
    for damaged in (whole[:-1], whole[1:], whole + b"\n", b"", content):
        path.write_bytes(damaged)
        assert not is_sealed(path)
