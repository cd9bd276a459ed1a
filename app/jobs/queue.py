"""The queue: orders that wait in run folders, started as processes that outlive page and server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from app.jobs.folders import folder_of, writable
from app.jobs.limits import at_once, read_only
from app.jobs.orders import SCRIPTS, read_order, write_order
from app.jobs.status import jobs
from app.settings import child_environment, runs_root
from palora_core.children import python
from palora_core.storage.runs import Run
from palora_core.storage.writing import CannotWrite

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None  # type: ignore[assignment]

_children: list[subprocess.Popen[bytes]] = []
_keeper: threading.Thread | None = None
_keeper_lock = threading.Lock()


def advance() -> None:
    """Start waiting runs, oldest first, while there is room; safe to call from anywhere, any time.

    Raises:
        UserError: the folder of runs cannot be written.
    """
    _children[:] = [child for child in _children if child.poll() is None]
    if not runs_root().is_dir() or read_only():
        return
    with queue_lock():
        current = jobs()
        room = at_once() - sum(j.status in ("starting", "running", "stopping") for j in current)
        waiting = [(float(read_order(folder_of(j.name))["queued"]), j.name) for j in current if j.status == "queued"]
        for _, name in sorted(waiting)[: max(0, room)]:
            launch(folder_of(name))


def keep_queue() -> None:
    """Have a thread of this server advance the queue also while nobody looks."""
    global _keeper
    with _keeper_lock:
        if _keeper is None or not _keeper.is_alive():
            _keeper = threading.Thread(target=_keep, name="queue", daemon=True)
            _keeper.start()


def _keep() -> None:
    while True:
        time.sleep(2.0)
        with contextlib.suppress(Exception):  # a folder in a strange state must not end the queue
            advance()


@contextlib.contextmanager
def queue_lock() -> Iterator[None]:
    """A block in which no other thread or server starts, stops or deletes a run; not to be entered twice.

    Raises:
        UserError: the folder of runs cannot be written.
    """
    with writable():
        file = (runs_root() / ".queue.lock").open("a")
    with file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def launch(folder: Path) -> None:
    """Start the training process of a folder, detached from this server."""
    order = read_order(folder)
    begun = (folder / "config.json").is_file()
    arguments = ["--resume"] if begun else [str(a) for a in order.get("arguments", [])]
    script = SCRIPTS[0] if begun or order.get("script") not in SCRIPTS else order["script"]
    words = [script.removesuffix(".py"), *arguments, "--out", str(folder.resolve())]
    command = python("-m", "palora_core", *words)
    nice = shutil.which("nice")
    own = str(order.get("threads") or threads())
    environment = child_environment(OMP_NUM_THREADS=own, OMP_WAIT_POLICY="PASSIVE", PYTHONUNBUFFERED="1")
    # The log first: on a full disk the run stays in the queue until there is room again.
    with writable(), (folder / "log.txt").open("ab", buffering=0) as log:
        log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}: {'resumed' if begun else 'started'}\n".encode())
        write_order(folder, {**order, "queued": None, "launched": time.time()})
        try:
            child = subprocess.Popen(
                [nice, "-n", "10", *command] if nice else command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        except OSError as error:  # too many processes, too little memory: a failed run like any other, to be resumed
            reason = error.strerror or error
            sentence = f"error: The training process could not be started ({reason}); free some memory and resume it.\n"
            log.write(sentence.encode())
            return
        _children.append(child)
        try:
            Run(folder).note_process(child.pid)
        except CannotWrite:  # it would train unseen, and a second one beside it
            os.killpg(child.pid, signal.SIGTERM)
            raise


def threads() -> int:
    """Kept in the order, since a resume is bit-identical only with the same number of threads."""
    return max(1, (os.cpu_count() or 2) - 1)
