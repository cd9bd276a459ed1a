"""The run folder: one owner at a time, statuses, events that survive anything."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from palora_core.errors import UserError
from palora_core.storage.reading import read_json
from palora_core.storage.runs import TAIL, Run, is_alive, process_start
from palora_core.storage.writing import is_temporary, write_atomically, write_json


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


@pytest.fixture
def other_process():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def snapshot(run):
    return {path.name: path.read_bytes() for path in run.folder.iterdir()}


def test_statuses_of_a_life(run):
    assert run.status() == "new"
    run.create({"format": 1})
    assert run.status() == "running"
    run.claim()
    run.event("start", step=0)
    assert run.status() == "running"
    run.request_stop()
    assert run.status() == "stopping"
    run.event("end", step=3, reason="stopped")
    run.release()
    assert run.status() == "stopped"
    run.claim()
    assert run.status() == "running"
    run.event("end", step=9, reason="finished")
    run.release()
    assert run.status() == "finished"


def test_an_error_is_failed_and_a_silent_end_is_crashed(run, other_process):
    run.create({})
    run.event("error", step=1, message="no")
    run.release()
    assert run.status() == "failed"
    run.note_process(other_process.pid)
    run.event("start", step=0)
    assert run.status() == "running"
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert run.status() == "crashed"
    run.request_stop()
    assert run.status() == "stopped"  # it was asked to end, and did, before it had anything to save


def test_a_process_that_dies_while_resuming_is_not_mistaken_for_the_earlier_stop(run, other_process):
    run.create({})
    run.event("end", step=3, reason="stopped")
    run.release()
    run.note_process(other_process.pid)
    path = run.folder / "process.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "time": run.last_event()["time"] + 1}))
    assert run.status() == "running"
    other_process.kill()
    other_process.wait()
    assert run.status() == "crashed"


def test_a_zombie_is_not_alive(run, other_process):
    note = {"pid": other_process.pid, "start": process_start(other_process.pid)}
    assert is_alive(note)
    other_process.kill()
    os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)  # dead, not yet reaped
    assert not is_alive(note)


def test_a_later_process_of_the_same_id_is_another_one():
    assert is_alive({"pid": os.getpid(), "start": process_start(os.getpid())})
    assert not is_alive({"pid": os.getpid(), "start": "1"})


def test_a_second_process_is_turned_away_and_nothing_changes(run, other_process):
    run.create({"mine": True})
    run.release()
    run.note_process(other_process.pid)
    before = snapshot(run)
    for attempt in (run.claim, lambda: run.create({"mine": False})):
        with pytest.raises(UserError, match=f"is being trained by process {other_process.pid}"):
            attempt()
    assert snapshot(run) == before
    run.release()  # not ours to release
    assert snapshot(run) == before


def test_only_one_of_many_processes_gets_the_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from palora_core.storage.runs import Run; from palora_core.errors import UserError\n"
        "run = Run(Path(sys.argv[1]))\n"
        "sys.stdin.readline()\n"
        "try: run.create({'pid': sys.argv[2]}); print('mine', flush=True)\n"
        "except UserError: print('taken', flush=True)\n"
        "sys.stdin.readline()"
    )
    root = str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    pipes = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "text": True,
        "env": {**os.environ, "PYTHONPATH": root},
    }
    children = [subprocess.Popen([*command, str(number)], **pipes) for number in range(3)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.stdout.readline().strip() for child in children]
    for child in children:
        child.communicate("end\n")
    assert sorted(answers) == ["mine", "taken", "taken"]
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == {"pid": str(answers.index("mine"))}


def test_a_folder_made_for_a_queued_job_may_be_started_in(run):
    run.folder.mkdir()
    for name in ("log.txt", "job.json", ".state.pt.xyz.unfinished"):
        (run.folder / name).write_text("{}")
    run.create({"format": 1})
    assert run.config() == {"format": 1}


def test_a_run_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        Run(tmp_path / "file").create({})


def test_a_claim_clears_up_after_a_killed_process(run):
    run.create({})
    (run.folder / ".state.pt.abc.unfinished").write_bytes(b"half")
    (run.folder / "stop").write_text("")  # of an earlier life
    run.claim()
    assert not run.stop_requested()
    assert not list(filter(is_temporary, run.folder.iterdir()))


def test_a_stop_asked_for_before_the_claim_is_kept(run):
    run.folder.mkdir()
    run.note_process(os.getpid())  # as the dashboard does for the process it starts
    run.request_stop()
    run.claim()
    assert run.stop_requested()


def test_half_written_and_foreign_lines_are_left_out(run):
    run.create({})
    run.event("step", step=1)
    with (run.folder / "events.jsonl").open("a") as file:
        file.write('[1]\n"text"\n{"no": "kind"}\n{"kind": "st')
    assert [event["step"] for event in run.events()] == [1]
    assert run.last_event()["step"] == 1


def test_the_last_event_is_found_at_the_end_of_a_long_file(run):
    run.create({})
    for step in range(3):
        run.event("front", step=step, objectives=[[0.5] * 3] * (TAIL // 12))
    run.event("end", step=3, reason="finished")
    assert (run.folder / "events.jsonl").stat().st_size > 2 * TAIL
    assert run.last_event() == run.events()[-1]


def test_resuming_forgets_what_will_be_repeated(run):
    run.create({})
    for kind, step in [("start", 0), ("step", 1), ("step", 2), ("front", 2), ("step", 3), ("front", 4), ("end", 4)]:
        run.event(kind, step=step)
    run.forget_after(2)
    assert [(e["kind"], e["step"]) for e in run.events()] == [("start", 0), ("step", 1), ("step", 2)]
    run.event("step", step=3)
    assert run.events()[-1]["step"] == 3


def test_numbers_that_json_has_not_become_null(run):
    run.create({})
    run.event("front", step=1, hypervolume=float("nan"), objectives=[[float("inf"), 1.0]])
    line = (run.folder / "events.jsonl").read_text()
    assert "NaN" not in line
    assert run.last_event()["objectives"] == [[None, 1.0]]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_damaged_process_note_counts_as_none(run, content):
    run.create({})
    (run.folder / "process.json").write_text(content)
    assert run.process() is None
    assert run.status() == "new"


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})

    def fail(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert read_json(path, "file") == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_is_one_sentence(tmp_path, content):
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(UserError, match=r"model card .*card\.json is damaged"):
        read_json(tmp_path / "card.json", "model card")


def test_json_that_is_missing_or_a_folder_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no model card"):
        read_json(tmp_path / "card.json", "model card")
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path, "model card")
