"""Events as pages read them: checked, thinned, read once, and total."""

import itertools
import json
import os

import pytest

from palora_core.errors import UserError
from palora_core.storage.events import MOST, EventLog, check_event, parse_event
from palora_core.storage.runs import Run

TASKS = ["left", "right"]
START = {"kind": "start", "time": 1.0, "step": 0, "epochs": 2, "total_steps": 10, "tasks": TASKS}
STEP = {"kind": "step", "step": 1, "epoch": 1, "tau": 0.0, "losses": [1.0, 2.0], "preferences": [[0.5, 0.5]]}
FRONT = {"kind": "front", "step": 5, "epoch": 1, "preferences": [[1, 0]], "objectives": [[1, None]], "hypervolume": 1}


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def append(folder, *events, raw=b""):
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b"".join(json.dumps(event).encode() + b"\n" for event in events) + raw)


def test_what_the_trainer_writes_is_read(folder):
    append(folder, START, STEP, FRONT, {"kind": "end", "step": 10, "reason": "finished"})
    log = EventLog(folder).update()
    assert [event["kind"] for event in log.events] == ["start", "step", "front", "end"]
    assert not log.problem
    assert log.events[2]["objectives"] == [[1, None]]
    assert log.events[1]["seconds_left"] is None


BAD_LINES = (
    b"\xff\xfe\n",
    b"[" * 50_000 + b"\n",
    b'{"kind": "step"\n',
    b"[1]\n",
    *(
        json.dumps({**event, name: value}).encode() + b"\n"
        for event, names in ((STEP, ("step", "epoch", "tau", "losses", "preferences")), (FRONT, ("objectives", "time")))
        for name in names
        for value in ("text", [["1", "2"]], {}, True, [[1, 2, 3]], 10**30 if name == "step" else "x")
    ),
    b'{"kind": "step", "step": 1e999, "losses": [Infinity]}\n',
)


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: line[:40].decode(errors="replace"))
def test_one_damaged_line_costs_itself_and_is_said(folder, line):
    append(folder, START, STEP, raw=line)
    append(folder, {**STEP, "step": 2})
    log = EventLog(folder).update()
    assert [event["step"] for event in log.events] == [0, 1, 2]
    assert log.problem.startswith("events.jsonl holds")
    assert len(Run(folder).events()) >= 3
    assert Run(folder).last_event()["step"] == 2


def test_a_line_that_is_being_written_is_no_damage(folder):
    append(folder, START, raw=b'{"kind": "st')
    log = EventLog(folder).update()
    assert len(log.events) == 1
    append(folder, raw=json.dumps(STEP).encode()[len(b'{"kind": "st') :] + b"\n")
    log.update()
    assert [event["kind"] for event in log.events] == ["start", "step"]
    assert not log.problem


def test_steps_and_events_of_other_tasks_are_left_out(folder):
    append(folder, STEP, {**START, "tasks": ["one"]}, STEP, FRONT)
    log = EventLog(folder).update()
    assert [event["kind"] for event in log.events] == ["start"]
    assert "before the start" in log.problem


def test_only_what_is_new_is_read_and_a_rewritten_file_from_its_beginning(folder):
    append(folder, START, STEP)
    log = EventLog(folder).update()
    kept = log.events[0]
    append(folder, {**STEP, "step": 2})
    assert [event["step"] for event in log.update().events] == [0, 1, 2]
    assert log.events[0] is kept
    Run(folder).forget_after(1)
    assert [event["step"] for event in log.update().events] == [0, 1]
    (folder / "events.jsonl").unlink()
    assert log.update().events == []


def test_another_file_of_that_name_is_read_from_its_beginning(folder):
    append(folder, START, STEP)
    log = EventLog(folder).update()
    one = {**START, "tasks": ["one"], "time": 2.0}
    step = {**STEP, "losses": [1.0], "preferences": [[1.0]]}
    # The same file to the system, longer than before: as a run that was deleted and imported again.
    content = "".join(json.dumps(event) + "\n" for event in (one, step, step, step))
    with (folder / "events.jsonl").open("r+") as file:
        file.write(content)
    assert [event["losses"] for event in log.update().events[1:]] == [[1.0]] * 3
    assert not log.problem


@pytest.mark.parametrize("at_once", [1000, 5000])
def test_a_long_run_is_thinned_evenly_and_ends_with_the_newest(folder, at_once):
    events = [{**STEP, "step": n} for n in range(1, 5001)]
    append(folder, START)
    log = EventLog(folder)
    for start in range(0, len(events), at_once):
        append(folder, *events[start : start + (at_once)])
        log.update()
    append(folder, *({**FRONT, "epoch": n} for n in range(1000)), {"kind": "end", "step": 5000, "reason": "finished"})
    log.update()
    steps = [event["step"] for event in log.events if event["kind"] == "step"]
    fronts = [event["epoch"] for event in log.events if event["kind"] == "front"]
    assert MOST["step"] / 4 < len(steps) <= MOST["step"] + 20 and steps == sorted(steps) and steps[-1] == 5000
    assert MOST["front"] / 4 < len(fronts) <= MOST["front"] + 20 and fronts[-1] == 999
    assert log.events[-1]["kind"] == "end" and log.events[0]["kind"] == "start"
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert max(gaps) <= 4 * max(1, sorted(gaps)[len(gaps) // 2])


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: p.symlink_to(p), os.mkfifo])
def test_what_is_no_file_is_one_sentence(folder, make):
    make(folder / "events.jsonl")
    log = EventLog(folder).update()
    assert log.events == []
    assert "cannot be read" in log.problem
    assert Run(folder).last_event() is None
    assert Run(folder).status() == "new"


def test_the_reasons_are_named():
    with pytest.raises(UserError, match="losses"):
        check_event({**STEP, "losses": [1.0]}, TASKS)
    assert parse_event(b'{"kind": 1}') is None


def test_a_process_note_or_a_configuration_of_anything_is_total(folder):
    append(folder, START, {"kind": "end", "time": "text", "step": 1})
    for note in (
        {"pid": True},
        {"pid": -5},
        {"pid": 10**12},
        {"pid": 5, "start": []},
        {"pid": 5, "time": "now"},
        [],
        3,
    ):
        (folder / "process.json").write_text(json.dumps(note))
        assert Run(folder).process() is None
        assert Run(folder).status() == "stopped"
    for config in ([], {"training": "text"}, {"method": 1}, {"benchmark": {"name": 3}}, {"benchmark": {"options": 4}}):
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match="run configuration"):
            Run(folder).config()
