"""What a person may do with runs: start, resume, stop, delete."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time

from app.jobs import naming
from app.jobs.folders import folder_of, new_folder, writable
from app.jobs.limits import check_allowed, most_at_once
from app.jobs.orders import Expansion, Order, read_order, write_order
from app.jobs.queue import advance, queue_lock, threads
from app.jobs.status import job, jobs
from app.settings import runs_root
from palora_core.errors import UserError
from palora_core.storage.notes import Note
from palora_core.storage.runs import Run, is_alive
from palora_core.storage.writing import write_json

MAX_QUEUED = 50


def set_at_once(count: int) -> None:
    """Change how many runs may train at the same time."""
    check_allowed()
    with writable():
        write_json(runs_root() / ".queue.json", {"at_once": max(1, min(int(count), most_at_once()))})
    advance()


def start(order: Order | Expansion) -> str:
    """Put a new run into the queue (it begins at once if there is room) and return its name."""
    check_allowed()
    order.configured()
    if sum(j.status == "queued" for j in jobs()) >= MAX_QUEUED:
        raise UserError(f"{MAX_QUEUED} runs are waiting already; let some of them finish, or take some out.")
    folder = new_folder(naming.folder_stem(order.stem, {**order.parts, **order.settings}))
    now = time.time()
    noted = {"script": order.script, "arguments": order.arguments(), "threads": threads()}
    if isinstance(order, Expansion):
        noted["expands"] = order.title
    try:
        with writable():
            write_order(folder, {**noted, "created": now, "queued": now})
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    advance()
    return folder.name


def describe(name: str, title: str, text: str, tags: str = "") -> None:
    """Give a run a name, a note and tags (commas between them); without a name it is called by its settings again.

    Raises:
        UserError: no such run, or its folder cannot be written.
    """
    check_allowed()
    folder = folder_of(name)
    with writable():
        Note.of(title, text, tags).write(folder)


def resume(name: str) -> None:
    """Put a stopped, failed or crashed run into the queue again."""
    check_allowed()
    if job(name).status not in ("stopped", "failed", "crashed", "new"):
        raise UserError(f"{name} is {job(name).status}; only a run that has stopped can be resumed.")
    folder = folder_of(name)
    with writable():
        write_order(folder, {"threads": threads(), **read_order(folder), "queued": time.time()})
        (folder / "stop").unlink(missing_ok=True)
    advance()


def stop(name: str) -> None:
    """Ask a run to save its state and end; take a waiting one out of the queue."""
    check_allowed()
    folder = folder_of(name)
    with queue_lock():  # or it could be started between the question and the answer
        status = job(name).status
        if status == "queued":
            with writable():
                write_order(folder, {**read_order(folder), "queued": None})
            return
    run = Run(folder)
    owner = run.process()
    if status not in ("starting", "running", "stopping") or owner is None:
        raise UserError(f"{name} is not running.")
    with writable():
        run.request_stop()
    if status == "starting" and is_alive(owner) and owner["pid"] != os.getpid():
        with contextlib.suppress(OSError):  # nothing to save yet, and loading data can take minutes
            os.killpg(owner["pid"], signal.SIGTERM)


def delete(name: str) -> None:
    """Remove a run that is not running, with everything in its folder."""
    check_allowed()
    folder = folder_of(name)
    hidden = folder.with_name(f".deleted-{time.time_ns()}")  # short: the name may be as long as names can be
    with queue_lock():  # or it could be started in this moment
        found = job(name)
        if found.live:
            raise UserError(f"{name} is {found.status}; stop it before you delete it.")
        with writable():
            folder.rename(hidden)  # out of every list at once, however long the rest takes
    shutil.rmtree(hidden, ignore_errors=True)
