"""The run folder is the only truth about a training run: whoever reads it knows all there is to know.

``config.json`` what runs · ``events.jsonl`` one line of JSON per event · ``process.json`` who runs it · ``state.pt`` for
an exact resume · ``stop`` a file that asks for a stop · ``log.txt`` output of a process started by the dashboard ·
``model.safetensors``, ``card.json``, ``front.json``, ``samples.npz`` and ``best.safetensors`` the result.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from palora_core.errors import UserError
from palora_core.files import read_json, write_atomically, write_json

Status = Literal["new", "running", "stopping", "stopped", "finished", "failed", "crashed"]


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    # -- writing (the training process) ------------------------------------------------------------------------------
    def create(self, config: dict[str, Any]) -> None:
        """Make the folder and write its configuration.

        Raises:
            UserError: the folder already holds something.
        """
        if self.folder.is_dir() and any(p.name not in ("log.txt", "process.json") for p in self.folder.iterdir()):
            raise UserError(f"{self.folder} is not empty; choose another --out, or continue that run with --resume.")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "config.json", config)

    def claim(self) -> None:
        """Note that this process trains here.

        Raises:
            UserError: another living process does.
        """
        owner = self.process()
        if owner and owner["pid"] != os.getpid() and is_alive(owner):
            raise UserError(f"{self.folder} is being trained by process {owner['pid']}; stop that run first.")
        write_json(self.folder / "process.json", {"pid": os.getpid(), "start": process_start(os.getpid())})
        (self.folder / "stop").unlink(missing_ok=True)

    def event(self, kind: str, **data: Any) -> None:
        """Append one event; a line is written in one call, so readers never see two mixed."""
        line = json.dumps({"time": round(time.time(), 3), "kind": kind, **data})
        with (self.folder / "events.jsonl").open("a") as file:
            file.write(line + "\n")

    def forget_after(self, step: int) -> None:
        """Drop the events of steps that a resumed run is going to repeat."""
        kept = [e for e in self.events() if e["kind"] not in ("end", "error") and _is_before(e, step)]
        text = "".join(json.dumps(e) + "\n" for e in kept)
        write_atomically(self.folder / "events.jsonl", lambda path: path.write_text(text))

    # -- reading (anybody) -------------------------------------------------------------------------------------------
    def config(self) -> dict[str, Any]:
        """What runs: benchmark, method and training options."""
        return read_json(self.folder / "config.json", "run configuration")

    def events(self) -> list[dict[str, Any]]:
        """All events; a line that is still being written is left out."""
        return list(self._lines())

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            text = (self.folder / "events.jsonl").read_text()
        except FileNotFoundError:
            return
        for line in text.splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def process(self) -> dict[str, Any] | None:
        """Process id and start time of whoever trains or trained here."""
        try:
            return read_json(self.folder / "process.json", "process note")
        except UserError:
            return None

    def status(self) -> Status:
        """What the run is doing, from its events and its process."""
        last = next((e for e in reversed(self.events()) if e["kind"] in ("start", "end", "error")), None)
        owner = self.process()
        alive = owner is not None and is_alive(owner)
        if last and last["kind"] == "end" and not alive:
            return "finished" if last.get("reason") == "finished" else "stopped"
        if last and last["kind"] == "error" and not alive:
            return "failed"
        if alive:
            return "stopping" if self.stop_requested() else "running"
        return "crashed" if owner or last else "new"

    def request_stop(self) -> None:
        """Ask the run to save its state and end after the current step."""
        (self.folder / "stop").touch()

    def stop_requested(self) -> bool:
        """Whether a stop was asked for."""
        return (self.folder / "stop").exists()


def _is_before(event: dict[str, Any], step: int) -> bool:
    # The front of an epoch is evaluated after the state of its last step was saved, so a resume makes it again.
    return event.get("step", 0) < step or (event.get("step", 0) == step and event["kind"] != "front")


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
