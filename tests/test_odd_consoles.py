"""Commands on full disks, closed pipes and consoles without UTF-8: one sentence and a status, never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from palora_core import commands
from palora_core.commands.console import settings, target
from palora_core.commands.export import run as export
from palora_core.errors import UserError
from palora_core.progress import Bar

PRINTS = [
    sys.executable,
    "-c",
    "import sys; from palora_core import commands as c; sys.exit(c.guarded(lambda: print(1)))",
]
HELP = [sys.executable, "-m", "palora_core", "expand", "--help"]


def refused(error: BaseException):
    def carry_out() -> None:
        raise error

    return carry_out


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2, "error: No space left on device; make room"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b.npz"), 2, "error: a/b.npz: Permission denied;"),
        (OSError(errno.EROFS, "Read-only file system", "runs"), 2, "error: runs: Read-only file system;"),
        (UserError("It is so."), 2, "error: It is so.\n"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(capsys, error, status, said):
    assert commands.guarded(refused(error)) == status
    found = capsys.readouterr().err
    assert said in found and found.count("\n") == 1


def test_faults_of_the_program_stay_tracebacks():
    with pytest.raises(KeyError):
        commands.guarded(refused(KeyError("a fault")))


def test_a_console_without_utf8_gets_escapes():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(HELP, capture_output=True, env=environment, check=False)
    assert done.returncode == 0 and done.stderr == b""
    assert rb"\u03b1" in done.stdout  # α


def test_a_closed_pipe_ends_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(PRINTS, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == commands.PIPE_CLOSED
    assert done.stderr == b""


def test_a_full_disk_behind_standard_output_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = subprocess.run(PRINTS, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr


class Gone:
    """Standard error whose reader has gone."""

    encoding = "utf-8"

    def write(self, text: str) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    flush = isatty = lambda self: True


def test_a_bar_that_nobody_reads_stops_no_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Gone())
    bar = Bar()
    for done in range(1, 4):
        bar("training", done, 3)
    bar.close()
    assert not bar.shown


def test_what_may_not_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(UserError, match="you may not write there"):
        target(tmp_path / "new" / "front.json")
    monkeypatch.undo()
    assert target(tmp_path / "new" / "front.json") == tmp_path / "new" / "front.json"

    class Args:
        model, out, preference, format = tmp_path / "nothing", tmp_path, [0.5, 0.5], "safetensors"

    with pytest.raises(UserError, match="is a folder"):
        export(Args)  # type: ignore[arg-type]


def test_settings_are_quoted_in_part():
    with pytest.raises(UserError) as error:
        settings(["x" * 100_000])
    assert len(str(error.value)) < 200
