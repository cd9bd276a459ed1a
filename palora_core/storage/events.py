"""Events of a run as pages read them: checked line by line, thinned to what a figure can show, read once.

``events.jsonl`` grows while a run trains and may be long, damaged or somebody else's. :class:`EventLog` keeps a bounded
number of events whatever the file holds, goes on where it stopped when the file has grown, and says in one sentence
what it could not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from palora_core.errors import UserError
from palora_core.storage import schema
from palora_core.storage.reading import MIB, Bounds, open_file, parse_json

EVENTS = "events.jsonl"
KINDS = ("start", "step", "front", "end", "error")
MOST_BYTES = 1024 * MIB
MOST_LINES = 2_000_000
# Events of a kind that are kept: steps are twice what a figure draws.
MOST = {"step": 1200, "front": 240, "other": 400}
MOST_FRONT_POINTS = 20_000  # of all fronts together
LINE = Bounds(8 * MIB, 2_000_000, 2 * schema.MOST_POINTS + 1000)
CHUNK = MIB
MARK = 200  # bytes by which a file is known again
KIND = re.compile(rb'"kind":\s?"(\w+)"')
MOST_MESSAGE = 2_000

Event = dict[str, Any]


def parse_event(line: bytes) -> Event | None:
    """The event in a line, unchecked but for its kind being a text; None for one that is half written or no event."""
    try:
        event = parse_json(line, "a line", LINE)
    except UserError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None


def check_event(event: Event, tasks: list[str]) -> Event:
    """An event with every field that pages read, of its kind.

    Args:
        event: of one of ``KINDS``.
        tasks: names from the newest start event; [] before the first.

    Raises:
        UserError: what is wrong with it.
    """
    kind = event["kind"]
    checked = {**event, "time": schema.number(event.get("time"), "time", 0) or 0.0}
    checked["step"] = schema.whole(event.get("step"), "step") or 0
    if kind == "start":
        names = schema.task_names(event.get("tasks"), "tasks")
        counts = {name: schema.whole(event.get(name), name) or 0 for name in ("epochs", "total_steps")}
        return {**checked, **counts, "tasks": names}
    if kind in ("end", "error"):
        told = str(event.get("message") or "")[:MOST_MESSAGE]
        return {**checked, "message": told, "reason": schema.text(event.get("reason"), "reason")}
    if not tasks:
        raise UserError(f"a {kind} comes before the start.")
    checked["epoch"] = schema.whole(event.get("epoch"), "epoch") or 0
    preferences = schema.table(event.get("preferences"), "preferences", len(tasks), schema.MOST_POINTS)
    if any(value is None for row in preferences for value in row):
        raise UserError("a preference is not known.")
    if kind == "step":
        losses = schema.table([event.get("losses")], "losses", len(tasks), 1)[0]
        tau = schema.number(event.get("tau"), "tau") or 0.0
        left = schema.number(event.get("seconds_left"), "seconds_left", 0, schema.LARGEST)
        return {**checked, "preferences": preferences, "losses": losses, "tau": tau, "seconds_left": left}
    objectives = schema.table(event.get("objectives"), "objectives", len(tasks), schema.MOST_POINTS)
    if len(objectives) != len(preferences):
        raise UserError("preferences and objectives disagree on K.")
    volume = schema.number(event.get("hypervolume"), "hypervolume")
    return {**checked, "preferences": preferences, "objectives": objectives, "hypervolume": volume}


class EventLog:
    """The events of one run folder; call :meth:`update` before reading ``events`` and ``problem``.

    Attributes:
        events: checked, in the order of the file; steps and fronts thinned evenly, the newest always among them.
        problem: one sentence on what could not be read, or "".
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / EVENTS
        self._forget()

    def _forget(self) -> None:
        self.events: list[Event] = []
        self.problem = ""
        self._identity: tuple[int, int] | None = None
        self._changed: tuple[int, int] | None = None
        self._place = self._lines = 0
        self._marks: tuple[bytes, ...] = (b"", b"")
        self._rest = b""
        self._tasks: list[str] = []
        self._every = {"step": 1, "front": 1}
        self._seen = {"step": 0, "front": 0}
        self._kept = dict.fromkeys(MOST, 0)
        self._points = 0

    def update(self) -> EventLog:
        """Read what has come since; a file that was replaced or has shrunk is read again."""
        try:
            with open_file(self.path) as file:
                status = os.fstat(file.fileno())
                identity, changed = (status.st_dev, status.st_ino), (status.st_size, status.st_mtime_ns)
                rewritten = status.st_size < self._place or (status.st_size == self._place and changed != self._changed)
                if identity != self._identity or rewritten or not self._goes_on(file):
                    self._forget()
                if changed != self._changed:
                    self._identity, self._changed = identity, changed
                    self._read(file)
        except FileNotFoundError:
            self._forget()
        except OSError as error:
            self._forget()
            self.problem = f"{EVENTS} cannot be read ({error.strerror or error})."
        return self

    def _goes_on(self, file: Any) -> bool:
        """Whether what was read is still there: a new file may have the number of one that was deleted."""
        return self._marks == self._marks_of(file)

    def _marks_of(self, file: Any) -> tuple[bytes, ...]:
        """The first and the last bytes of what was read."""
        length = min(MARK, self._place)
        return _bytes_at(file, 0, length), _bytes_at(file, self._place - length, length)

    def _read(self, file: Any) -> None:
        passed: dict[str, bytes] = {}  # the newest of those that are left out: it is shown if no other one follows
        for line in self._new_lines(file):
            found = KIND.search(line)
            kind = found[1].decode() if found else ""
            if kind in self._every:
                self._seen[kind] += 1
                passed.pop(kind, None)
                if self._seen[kind] % self._every[kind]:
                    passed[kind] = line
                    continue
            elif kind in KINDS:
                self._take_all(passed)
            if kind in KINDS or not found:
                self._take(line)
        self._take_all(passed)
        self._marks = self._marks_of(file)

    def _take_all(self, passed: dict[str, bytes]) -> None:
        for line in passed.values():
            self._take(line)
        passed.clear()

    def _new_lines(self, file: Any) -> Iterator[bytes]:
        """Whole lines that were not read yet; what follows the last line feed waits for its rest."""
        file.seek(self._place)
        while chunk := file.read(CHUNK):
            if self._place > MOST_BYTES or self._lines > MOST_LINES:
                self._note(f"is too long: only its first {self._lines:,} lines are shown")
                return
            self._place += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if len(self._rest) > LINE.size:
                self._note(f"has a line of more than {LINE.size // MIB} MB")
                self._rest = b""
            self._lines += len(lines)
            yield from filter(None, map(bytes.strip, lines))
        if self._rest.endswith(b"}") and parse_event(self._rest) is not None:  # nothing can go on after that
            yield self._rest
            self._rest = b""

    def _take(self, line: bytes) -> None:
        event = parse_event(line)
        if event is None:
            self._note("holds lines that are no events")
        elif event["kind"] in KINDS:
            try:
                event = check_event(event, self._tasks)
            except UserError as error:
                self._note(f"holds a damaged event ({str(error).rstrip('.')})")
                return
            if event["kind"] == "start":
                self._tasks = event["tasks"]
            self.events.append(event)
            self._thin(event)

    def _note(self, what: str) -> None:
        self.problem = self.problem or f"{EVENTS} {what}; the rest of the run is shown without them."

    def _thin(self, added: Event) -> None:
        """Leave out every other step or front once there are too many, and from then on as many of the new ones."""
        kind = added["kind"] if added["kind"] in self._every else "other"
        self._kept[kind] += 1
        self._points += len(added["objectives"]) if kind == "front" else 0
        full = self._points > MOST_FRONT_POINTS and kind == "front" and self._kept[kind] > 1
        if self._kept[kind] <= MOST[kind] and not full:
            return
        alike = [
            i for i, event in enumerate(self.events) if (event["kind"] if event["kind"] in MOST else "other") == kind
        ]
        if kind == "other":
            drop = set(alike[1 : len(alike) // 2])
        else:
            self._every[kind] *= 2
            drop = set(alike[-2::-2])
        self.events = [event for i, event in enumerate(self.events) if i not in drop]
        self._kept[kind] -= len(drop)
        self._points = sum(len(event["objectives"]) for event in self.events if event["kind"] == "front")


def _bytes_at(file: Any, place: int, length: int) -> bytes:
    file.seek(place)
    return bytes(file.read(length))


def newest(path: Path, tail: int) -> Event | None:
    """The newest event that can be read in the last ``tail`` bytes of a file."""
    try:
        with open_file(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - tail))
            lines = file.read(tail).splitlines()
    except OSError:
        return None
    found = (event for event in map(parse_event, reversed(lines)) if event is not None and event["kind"] in KINDS)
    return next(found, None)
