"""Disks that are full and folders that are read-only: one sentence on the page, nothing half done."""

import errno
import os
import signal

import pytest

from app import jobs
from app.exports import exporting
from app.exports.standalone import runtime
from app.jobs import queue
from app.jobs.orders import read_order, write_order
from palora_core.errors import UserError
from palora_core.storage import writing as files
from palora_core.storage.runs import Run
from tests.app.pages import open_on, texts

REASONS = [errno.ENOSPC, errno.EROFS, errno.EACCES]


def order() -> jobs.Order:
    return jobs.Order("multimnist", "palora", {"training.epochs": 1})


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("PALORA_READ_ONLY", raising=False)
    return tmp_path / "runs"


@pytest.fixture
def full(monkeypatch):
    """Every file that is written with care fails, for the reason given, where its name says so."""

    def fill(number: int, part: str = "") -> None:
        opened = os.open

        def refuse(path, flags, *rest, **options):
            if flags & os.O_CREAT and part in str(path):
                raise OSError(number, os.strerror(number))
            return opened(path, flags, *rest, **options)

        monkeypatch.setattr(files.os, "open", refuse)

    return fill


@pytest.mark.parametrize("number", REASONS)
def test_every_button_says_why(root, full, number, monkeypatch):
    monkeypatch.setattr(queue, "launch", lambda folder: None)
    waiting, stopped = jobs.start(order()), jobs.start(order())
    write_order(root / stopped, {**read_order(root / stopped), "queued": None})
    before = sorted(root.iterdir())
    full(number)
    for act in (
        lambda: jobs.start(order()),
        lambda: jobs.resume(stopped),
        lambda: jobs.stop(waiting),
        lambda: jobs.set_at_once(1),
        lambda: jobs.describe(waiting, "a name", "a note"),
    ):
        with pytest.raises(UserError, match="folder of runs cannot be written") as found:
            act()
        assert os.strerror(number) in str(found.value) and str(root) not in str(found.value)
    assert sorted(root.iterdir()) == before, "nothing half done"
    assert jobs.job(waiting).status == "queued" and jobs.job(stopped).status == "stopped"


def test_a_run_waits_until_there_is_room_for_its_log(root, monkeypatch):
    """A real full disk: what is written to this device never fits."""
    with monkeypatch.context() as patched:
        patched.setattr(queue, "launch", lambda folder: None)
        name = jobs.start(order())
    (root / name / "log.txt").symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left on device"):
        jobs.advance()
    assert jobs.job(name).status == "queued" and Run(root / name).process() is None
    page = open_on("train", run=name)
    assert not page.exception and "No space left on device" in texts(page.warning)


def test_a_process_that_cannot_be_noted_does_not_train_unseen(root, full, monkeypatch):
    begun = []

    class Child:
        pid = 123_456_789

        def __init__(self, command, **options):
            begun.append(command)

        def poll(self):
            return 0

    ended = []
    with monkeypatch.context() as patched:
        patched.setattr(queue, "launch", lambda folder: None)
        name = jobs.start(order())
    monkeypatch.setattr(queue.subprocess, "Popen", Child)
    monkeypatch.setattr(queue.os, "killpg", lambda pid, sign: ended.append((pid, sign)))
    full(errno.ENOSPC, "process.json")
    with pytest.raises(UserError, match="No space left"):
        jobs.advance()
    assert len(begun) == 1 and ended == [(Child.pid, signal.SIGTERM)]
    assert not jobs.job(name).live, "it can be resumed when there is room"


def test_pages_open_on_a_folder_of_runs_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "file" / "runs"))
    page = open_on("train")
    assert not page.exception
    with pytest.raises(UserError, match="Not a directory"):
        jobs.start(order())


@pytest.mark.parametrize("number", REASONS)
def test_exports(roots, full, number):
    full(number, "palora-export-")
    with pytest.raises(UserError, match="temporary files cannot be written") as found:
        exporting.export(roots.registry.get("two"), "safetensors", [0.5, 0.5])
    assert os.strerror(number) in str(found.value) and "palora-export" not in str(found.value)


def test_exports_without_any_place_for_temporary_files(roots, monkeypatch):
    def refuse(**_):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(exporting.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(UserError, match="No usable temporary directory found"):
        exporting.export(roots.registry.get("two"), "safetensors", [0.5, 0.5])


def test_parts_of_a_page_that_cannot_be_kept(tmp_path, full, monkeypatch):
    monkeypatch.setenv("PALORA_CACHE", str(tmp_path))
    monkeypatch.setattr(runtime, "HASHES", {runtime.SCRIPT: runtime._hash(b"x")})
    full(errno.ENOSPC)
    with pytest.raises(UserError, match=r"cannot be kept \(No space left on device\); set PALORA_CACHE"):
        runtime._keep({runtime.SCRIPT: b"x"})


def test_a_deleted_run_is_gone_at_once_or_not_at_all(root, monkeypatch):
    monkeypatch.setattr(queue, "launch", lambda folder: None)
    name = jobs.start(order())
    jobs.stop(name)

    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patched:
        patched.setattr(type(root), "rename", refuse)
        with pytest.raises(UserError, match="Read-only file system"):
            jobs.delete(name)
    assert name in jobs.names()
    jobs.delete(name)
    assert jobs.names() == []
