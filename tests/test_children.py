"""Child processes that report: order, failure in words, and no child that outlives its reader."""

import os

import pytest

from palora_core import children
from palora_core.children import ChildError, messages_of, report
from palora_core.errors import UserError


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module for the children, who get this process's import path."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str) -> str:
        (tmp_path / "child_of_a_test.py").write_text(f"import sys\nfrom palora_core.children import report\n{code}\n")
        return "child_of_a_test"

    return write


def test_every_child_gets_its_job_and_all_messages_come(module):
    name = module("job = sys.stdin.read()\nprint('chatter')\nsys.exit(report([job, n] for n in range(3)))")
    found = list(messages_of(name, [b"a", b"b"]))
    assert sorted(found) == [[job, n] for job in "ab" for n in range(3)]
    assert [n for job, n in found if job == "a"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('first'); print('no space'); sys.exit(3)", "first no space"),
        ("import os; os.kill(os.getpid(), 9)", "killed"),
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
    ],
)
def test_a_child_that_fails_says_why(module, code, message):
    with pytest.raises(ChildError, match=message):
        list(messages_of(module(code), [b"", b""]))


def test_a_job_larger_than_a_pipe_does_not_block(module):
    name = module("sys.exit(report(len(line) for line in sys.stdin))")
    assert list(messages_of(name, [b"x\n" * 60_000] * 2))[:1] == [2]


def test_a_reader_that_stops_ends_the_children(module):
    name = module("import os, itertools\nsys.exit(report(os.getpid() for _ in itertools.count()))")
    messages = messages_of(name, [b""])
    process = next(messages)
    messages.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize("what", ["_start", "_read"])
def test_where_the_second_child_cannot_be_started_the_first_is_ended(module, monkeypatch, what):
    name, begun, honest = module("sys.stdin.read()\nimport time\ntime.sleep(600)"), [], children._start

    def start(*args):
        if what == "_start" and begun:
            raise OSError("no more processes")
        begun.append(honest(*args))
        return begun[-1]

    def thread(target, *args):
        if what == "_read" and target is children._read and len(begun) == 2:
            raise RuntimeError("can't start new thread")
        return started(target, *args)

    started = children._started
    monkeypatch.setattr(children, "_start", start)
    monkeypatch.setattr(children, "_started", thread)
    with pytest.raises((OSError, RuntimeError), match=r"no more processes|new thread"):
        list(messages_of(name, [b"", b""]))
    assert begun and all(child.returncode is not None for child in begun)


def test_an_error_meant_for_people_is_one_line(capsys):
    def work():
        yield 1
        raise UserError("Nothing to do.")

    assert report(work()) == 1
    assert capsys.readouterr().out == "> 1\nNothing to do.\n"
