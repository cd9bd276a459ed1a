"""What a run is doing, told from its folder alone."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.folders import holds
from app.jobs import naming
from app.jobs.folders import created, folder_of, names
from app.jobs.orders import read_order
from app.library.entries import FRONT, file_stamp, without_paths
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.storage.cards import CARD, read_card
from palora_core.storage.events import EVENTS, EventLog
from palora_core.storage.notes import Note
from palora_core.storage.reading import open_file
from palora_core.storage.runs import Run

READ = (EVENTS, "config.json", CARD, FRONT)
LIVE = ("queued", "starting", "running", "stopping")


@dataclass(frozen=True)
class Job:
    """One run folder as the page shows it.

    Attributes:
        name: relative to the run root.
        status: new, queued, starting, running, stopping, stopped, failed, crashed or finished.
        benchmark: registry name, "" if it cannot be told.
        method: registry name, "" if it cannot be told.
        message: for failed and crashed runs one sentence on why.
        step: steps done.
        total_steps: of the whole training, 0 if not known yet.
        created: time of the folder.
        expands: title of the model that a Pareto expansion starts from, "" for other runs.
        title: what it is called: by a person, else by method, benchmark and what differs from their defaults.
        note: what a person says about it.
        settings: the options that differ from the defaults.
        problem: one sentence on what of its folder is damaged, "" if nothing is.
    """

    name: str
    status: str
    benchmark: str = ""
    method: str = ""
    message: str = ""
    step: int = 0
    total_steps: int = 0
    created: float = 0.0
    expands: str = ""
    title: str = ""
    note: Note = field(default_factory=Note)
    settings: naming.Settings = ()
    problem: str = ""

    @property
    def live(self) -> bool:
        """Whether it may change by itself."""
        return self.status in LIVE


def job(name: str) -> Job:
    """The present state of one run."""
    folder = folder_of(name)
    run, order = Run(folder), read_order(folder)
    summary = _summary(folder)
    status = _status(run, order, summary)
    benchmark, method = _names(run, order)
    expands, note, settings = order.get("expands", ""), Note.read(folder), _settings(run, order)
    return Job(
        name=name,
        status=status,
        benchmark=benchmark,
        method=method,
        message=_message(folder, status, summary),
        step=summary.last.get("step", 0),
        total_steps=summary.start.get("total_steps", 0),
        created=created(folder, 0.0),
        expands=expands,
        title=note.name or naming.title(method, benchmark, settings, expands),
        note=note,
        settings=settings,
        problem=_problem(run, order, summary),
    )


def config_of(name: str) -> dict[str, Any]:
    """The whole configuration of a run.

    Raises:
        UserError: no such run, or it has not begun.
    """
    return Run(folder_of(name)).config()


def jobs() -> list[Job]:
    """The present state of all runs, newest first."""
    found = []
    for name in names():
        with contextlib.suppress(UserError):  # deleted in this moment
            found.append(job(name))
    return naming.told_apart(found)


def _settings(run: Run, order: Mapping[str, Any]) -> naming.Settings:
    """What was asked for on the dashboard; of a run from the command line, what its configuration says."""
    if "arguments" in order:
        return naming.asked_for(order["arguments"] or [])
    with contextlib.suppress(UserError):
        return naming.differing(run.config())
    return ()


def _status(run: Run, order: Mapping[str, Any], summary: _Summary) -> str:
    status: str = run.status()
    if status in ("running", "stopping"):
        began = order.get("launched") or 0.0
        ready = bool(summary.start) and summary.start["time"] >= began
        return status if ready or status == "stopping" else "starting"
    if order.get("queued"):
        return "queued"
    ended = status == "crashed" or (order and status in ("new", "stopped"))  # the latter: its process never began
    if ended and _error_line(run.folder):
        return "failed"
    return "stopped" if status == "new" and order else status


def _message(folder: Path, status: str, summary: _Summary) -> str:
    if status == "failed":
        return summary.last["message"] if summary.last.get("kind") == "error" else _error_line(folder)
    if status == "crashed":
        return _last_word(folder)
    return ""


def _error_line(folder: Path) -> str:
    """What the training script said before it ended by itself."""
    lines = [line for line in log_tail(folder, 5).splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines and lines[-1].startswith("error: ") else ""


def _last_word(folder: Path) -> str:
    lines = [line for line in log_tail(folder, 40).splitlines() if line.strip()]
    if lines and re.match(r"[\w.]+(Error|Exception|Interrupt)\b", lines[-1]):
        return f"The training process ended with {lines[-1][:300]}"
    return "The training process ended without a word: it was killed, or the machine ran out of memory or power."


def _names(run: Run, order: Mapping[str, Any]) -> tuple[str, str]:
    with contextlib.suppress(UserError, KeyError):
        config = run.config()
        return config["benchmark"]["name"], config["method"]["name"]
    value = dict(itertools.pairwise(order.get("arguments") or []))
    return value.get("--benchmark", ""), value.get("--method", "palora" if "--from" in value else "")


def _problem(run: Run, order: Mapping[str, Any], summary: _Summary) -> str:
    """What of a run folder cannot be read, "" if all of it can."""
    for name, found in (("job.json", order), ("process.json", run.process())):
        if not found and holds(run.folder, name):
            return f"{name} is damaged; remove it, or delete the run."
    return summary.problem


def _damage(folder: Path) -> str:
    """What is wrong with the files that are written once, "" if nothing is."""
    front = folder / FRONT
    readers = {"config.json": Run(folder).config, CARD: lambda: read_card(folder), FRONT: lambda: Front.load(front)}
    for name, read in readers.items():
        if holds(folder, name):
            try:
                read()
            except UserError as error:
                return without_paths(str(error), folder)
    return ""


@dataclass(frozen=True)
class _Summary:
    """What a list of runs needs of the events: the newest of all, the newest start, and what could not be read."""

    last: Mapping[str, Any]
    start: Mapping[str, Any]
    problem: str


_logs: OrderedDict[Path, EventLog] = OrderedDict()
_summaries: OrderedDict[Path, tuple[tuple[int, ...], _Summary]] = OrderedDict()
_logs_lock = threading.Lock()
# A log may take megabytes, so those of the runs on screen are kept; of all others only the summaries.
MOST_LOGS, MOST_SUMMARIES = 16, 10_000


def _summary(folder: Path) -> _Summary:
    stamp = tuple(part for name in READ for part in file_stamp(folder / name))
    known = _summaries.get(folder)
    if known is None or known[0] != stamp:
        events, problem = read_log(folder)
        start = next((e for e in reversed(events) if e["kind"] == "start"), {})
        last = events[-1] if events else {}
        known = _summaries[folder] = stamp, _Summary(last, start, _damage(folder) or problem)
        while len(_summaries) > MOST_SUMMARIES:
            _summaries.popitem(last=False)
    return known[1]


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events of a run that pages show, checked; only what is new in the file is read."""
    return read_log(folder)[0]


def read_log(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The events of a run, and a sentence on what could not be read of them ("" if there is nothing)."""
    with _logs_lock:  # sessions share the logs; reading what is new takes milliseconds
        log = _logs.pop(folder, None) or EventLog(folder)
        _logs[folder] = log
        while len(_logs) > MOST_LOGS:
            _logs.popitem(last=False)
        log.update()
        return list(log.events), log.problem


def log_tail(folder: Path, lines: int = 200) -> str:
    """The last lines of what the process printed."""
    try:
        with open_file(folder / "log.txt") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65_536))
            text = file.read(65_536).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
