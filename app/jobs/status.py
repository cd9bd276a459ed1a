"""What a run is doing, told from its folder alone."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.jobs import naming
from app.jobs.folders import created, folder_of, names
from app.jobs.orders import read_order
from palora_core.errors import UserError
from palora_core.notes import Note
from palora_core.runs import Run

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

    @property
    def live(self) -> bool:
        """Whether it may change by itself."""
        return self.status in LIVE


def job(name: str) -> Job:
    """The present state of one run."""
    folder = folder_of(name)
    run, order = Run(folder), read_order(folder)
    events = read_events(folder)
    status = _status(run, order, events)
    benchmark, method = _names(run, order)
    start = next((e for e in reversed(events) if e["kind"] == "start"), {})
    expands, note, settings = str(order.get("expands") or ""), Note.read(folder), _settings(run, order)
    return Job(
        name=name,
        status=status,
        benchmark=benchmark,
        method=method,
        message=_message(folder, status, events),
        step=max((int(e.get("step") or 0) for e in events[-1:]), default=0),
        total_steps=int(start.get("total_steps") or 0),
        created=created(folder, 0.0),
        expands=expands,
        title=note.name or naming.title(method, benchmark, settings, expands),
        note=note,
        settings=settings,
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
    arguments = order.get("arguments")
    if isinstance(arguments, list):
        return naming.asked_for([str(a) for a in arguments])
    with contextlib.suppress(UserError):
        return naming.differing(run.config())
    return ()


def _status(run: Run, order: Mapping[str, Any], events: list[dict[str, Any]]) -> str:
    status: str = run.status()
    if status in ("running", "stopping"):
        began = order.get("launched") or 0.0
        ready = any(e["kind"] == "start" and e["time"] >= began for e in events)
        return status if ready or status == "stopping" else "starting"
    if order.get("queued"):
        return "queued"
    ended = status == "crashed" or (order and status in ("new", "stopped"))  # the latter: its process never began
    if ended and _error_line(run.folder):
        return "failed"
    return "stopped" if status == "new" and order else status


def _message(folder: Path, status: str, events: list[dict[str, Any]]) -> str:
    if status == "failed":
        last = events[-1] if events else {}
        return str(last.get("message") or "") if last.get("kind") == "error" else _error_line(folder)
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
    try:
        config = run.config()
        return str(config["benchmark"]["name"]), str(config["method"]["name"])
    except (UserError, KeyError, TypeError):
        arguments = [str(a) for a in order.get("arguments", [])]
        value = dict(itertools.pairwise(arguments))
        return value.get("--benchmark", ""), value.get("--method", "palora" if "--from" in value else "")


_events: dict[Path, tuple[int, int, list[dict[str, Any]]]] = {}


def read_events(folder: Path) -> list[dict[str, Any]]:
    """All events of a run; read again only when the file has changed."""
    path = folder / "events.jsonl"
    try:
        stat = path.stat()
    except OSError:
        return []
    known = _events.get(path)
    if known and known[:2] == (stat.st_size, stat.st_mtime_ns):
        return known[2]
    events = Run(folder).events()
    if len(_events) > 200:
        _events.clear()
    _events[path] = (stat.st_size, stat.st_mtime_ns, events)
    return events


def log_tail(folder: Path, lines: int = 200) -> str:
    """The last lines of what the process printed."""
    try:
        with (folder / "log.txt").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65_536))
            text = file.read(65_536).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
