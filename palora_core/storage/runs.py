"""The run folder is the only truth about a training run: whoever reads it knows all there is to know.

``config.json`` what runs · ``events.jsonl`` one line of JSON per event · ``process.json`` who runs it, while it runs ·
``state.pt`` for an exact resume · ``stop`` a file that asks for a stop · ``log.txt`` and ``job.json`` output and order
of a process started by the dashboard · ``note.json`` what a person calls it ·
``model.safetensors``, ``card.json``, ``front.json``, ``samples.npz`` and ``best.safetensors`` the result.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from palora_core.errors import UserError
from palora_core.storage import schema
from palora_core.storage.events import EVENTS, newest, parse_event
from palora_core.storage.notes import NOTE
from palora_core.storage.reading import SMALL, read_json
from palora_core.storage.writing import cannot_write, is_temporary, plain, write_atomically, write_json

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None  # type: ignore[assignment]

ALLOWED = ("log.txt", "process.json", "stop", "job.json", NOTE)  # what a new run may find in its folder
TAIL = 1 << 18  # bytes; an event is at most a front of a few hundred preferences
MOST_PID = 2**31 - 1

Status = Literal["new", "running", "stopping", "stopped", "finished", "failed", "crashed"]


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    # -- writing (the training process) ------------------------------------------------------------------------------
    def create(self, config: dict[str, Any]) -> None:
        """Make the folder, note that this process trains in it, and write its configuration.

        Raises:
            UserError: the folder already holds something, or another process is at work in it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"The run folder {self.folder} cannot be made ({error.strerror}); use another.") from None
        with self._locked():
            self._check_owner()
            if not self._may_begin():
                raise UserError(f"{self.folder} is not empty; choose another folder, or go on with its run (--resume).")
            (self.folder / EVENTS).unlink(missing_ok=True)
            self._own()
            write_json(self.folder / "config.json", config)

    def _may_begin(self) -> bool:
        """Whether a new run takes nothing from anybody: nothing is here, or a run that failed before its first step."""
        left = {path.name for path in self.folder.iterdir() if not is_temporary(path)}.difference(ALLOWED)
        if left - {"config.json", EVENTS}:
            return False
        return not left or (self.status() == "failed" and not any(event.get("step") for event in self._lines()))

    def claim(self) -> None:
        """Note that this process trains here, and clear up what a killed one left behind.

        Raises:
            UserError: another living process does.
        """
        with self._locked():
            self._check_owner()
            self._own()
            if not self._stop_is_for(os.getpid()):
                (self.folder / "stop").unlink(missing_ok=True)
            for path in filter(is_temporary, self.folder.iterdir()):
                path.unlink(missing_ok=True)

    def release(self) -> None:
        """Note that this process trains here no more."""
        with self._locked():
            owner = self.process()
            if owner and owner["pid"] == os.getpid():
                (self.folder / "process.json").unlink(missing_ok=True)
                (self.folder / "stop").unlink(missing_ok=True)

    def _check_owner(self) -> None:
        owner = self.process()
        if owner and owner["pid"] != os.getpid() and is_alive(owner):
            raise UserError(f"{self.folder} is being trained by process {owner['pid']}; stop that run first.")

    def _own(self) -> None:
        self.note_process(os.getpid())

    def note_process(self, pid: int) -> None:
        """Write down that process ``pid`` trains here."""
        note = {"pid": pid, "start": process_start(pid), "time": round(time.time(), 3)}
        write_json(self.folder / "process.json", note)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one process at a time is in this block for a folder; the lock of a killed one is gone with it."""
        if fcntl is None:  # pragma: no cover - no such locks there
            yield
            return
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def event(self, kind: str, **data: Any) -> None:
        """Append one event; a line is written in one call, so readers never see two mixed."""
        line = json.dumps(plain({"time": round(time.time(), 3), "kind": kind, **data}))
        path = self.folder / EVENTS
        try:
            with path.open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise cannot_write(path, error.strerror or str(error)) from None

    def forget_after(self, step: int) -> None:
        """Drop the events of steps that a resumed run is going to repeat."""
        kept = [e for e in self.events() if e["kind"] not in ("end", "error") and _is_before(e, step)]
        text = "".join(json.dumps(e) + "\n" for e in kept)
        write_atomically(self.folder / EVENTS, lambda path: path.write_text(text))

    # -- reading (anybody) -------------------------------------------------------------------------------------------
    def config(self) -> dict[str, Any]:
        """What runs: benchmark, method and training options.

        Raises:
            UserError: missing, or not such a configuration.
        """
        path = self.folder / "config.json"
        config = read_json(path, "run configuration", SMALL)
        try:
            return _checked_config(config)
        except UserError as error:
            raise UserError(f"{path} is not a run configuration: {error} Start a new run.") from None

    def events(self) -> list[dict[str, Any]]:
        """All events as they were written; a line that is still being written, or is no event, is left out.

        Pages read :class:`palora_core.storage.events.EventLog` instead: it checks them and keeps no more than is shown.
        """
        return list(self._lines())

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            with (self.folder / EVENTS).open("rb") as file:
                for line in file:
                    event = parse_event(line)
                    if event is not None:
                        yield event
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{self.folder / EVENTS} cannot be read ({error.strerror}).") from None

    def process(self) -> dict[str, Any] | None:
        """Process id and start time of whoever trains here, or was killed doing so."""
        try:
            note = schema.mapping(read_json(self.folder / "process.json", "process note", SMALL), "the note")
            pid = schema.whole(note.get("pid"), "pid", 2, MOST_PID)
            noted = schema.number(note.get("time"), "time")
        except UserError:
            return None
        start = note.get("start")
        known = start is None or isinstance(start, str)
        return {"pid": pid, "start": start, "time": noted or 0.0} if pid is not None and known else None

    def status(self) -> Status:
        """What the run is doing, from its events and its process."""
        owner = self.process()
        if owner is not None and is_alive(owner):
            return "stopping" if self.stop_requested() else "running"
        last = self.last_event()
        kind = last["kind"] if last else ""
        if owner and last and owner["time"] > _time(last):
            kind = ""  # the end or error of an earlier process: this one is gone without an event
        if kind == "end":
            return "finished" if last.get("reason") == "finished" else "stopped"  # type: ignore[union-attr]
        if kind == "error":
            return "failed"
        if owner or last:
            return "stopped" if self.stop_requested() else "crashed"
        return "new"

    def last_event(self) -> dict[str, Any] | None:
        """The newest event; only the end of the file is read, however long the run."""
        return newest(self.folder / EVENTS, TAIL)

    def request_stop(self) -> None:
        """Ask the run to save its state and end after the current step."""
        owner = self.process()
        (self.folder / "stop").write_text(str(owner["pid"]) if owner else "")

    def stop_requested(self) -> bool:
        """Whether a stop was asked for."""
        return os.path.lexists(self.folder / "stop")

    def _stop_is_for(self, pid: int) -> bool:
        """Whether the stop was asked of process ``pid``, perhaps while it was still loading its data."""
        try:
            return (self.folder / "stop").read_text().strip() == str(pid)
        except OSError:
            return False


class Observer(Run):
    """The run folder for the ranks of a distributed run that leave writing to rank 0."""

    def create(self, config: dict[str, Any]) -> None:
        """Rank 0 does."""

    def claim(self) -> None:
        """Rank 0 does."""

    def release(self) -> None:
        """Rank 0 does."""

    def event(self, kind: str, **data: Any) -> None:
        """Rank 0 writes it."""

    def forget_after(self, step: int) -> None:
        """Rank 0 does."""


def _checked_config(data: Any) -> dict[str, Any]:
    config = schema.options(data, "the file")
    for part in ("benchmark", "method", "training"):
        if part in config:
            if config[part] is None:  # defaults in its place would be another run
                raise schema.wrong(f"its {part}", None, "an object")
            config[part] = schema.mapping(config[part], f"its {part}")
    for part in ("benchmark", "method"):
        if part in config:
            config[part]["name"] = schema.name_in(config[part].get("name"), f"the name of its {part}")
    if "benchmark" in config:
        config["benchmark"]["options"] = schema.mapping(config["benchmark"].get("options"), "its benchmark options")
    return config


def _time(event: dict[str, Any]) -> float:
    noted = event.get("time")
    return float(noted) if isinstance(noted, int | float) else 0.0


def _is_before(event: dict[str, Any], step: int) -> bool:
    # The front of an epoch is evaluated after the state of its last step was saved, so a resume makes it again.
    at = event.get("step", 0)
    return isinstance(at, int | float) and (at < step or (at == step and event["kind"] != "front"))


def is_alive(process: dict[str, Any]) -> bool:
    """Whether the process noted in a run folder still runs (its start time tells it from a later one of that id)."""
    start = process_start(process["pid"])
    return start is not None and (process.get("start") is None or start == process["start"])


def process_start(pid: int) -> str | None:
    """Start time of process ``pid`` in kernel ticks; None if it is gone or a zombie; "" where it can't be told."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
