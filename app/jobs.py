"""Training processes: started detached, queued, stopped, resumed and deleted; the run folders are the only truth.

Every name that comes from a browser goes through :func:`folder_of`, so nothing outside of the run root is reached.
``job.json`` in a run folder holds the command line that trains it and whether it waits in the queue.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.settings import ROOT, runs_root
from palora_core.errors import UserError
from palora_core.files import read_json, write_json
from palora_core.runs import Run, is_alive
from palora_core.setup_run import configure

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None  # type: ignore[assignment]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")
DEPTH = 3  # sweeps put their runs into sub-folders
MAX_QUEUED = 50
LIVE = ("queued", "starting", "running", "stopping")
FORBIDDEN_SETTINGS = ("start_from",)  # a path: not for browsers

_children: list[subprocess.Popen[bytes]] = []
_keeper: threading.Thread | None = None
_keeper_lock = threading.Lock()


@dataclass(frozen=True)
class Order:
    """What to train: names and settings as :func:`palora_core.setup_run.configure` takes them."""

    benchmark: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise a UserError for anything that the training script would refuse."""
        for key in self.settings:
            if key.rpartition(".")[2] in FORBIDDEN_SETTINGS:
                raise UserError(f"{key} is a path on the server and can only be given on the command line.")
        configure(self.benchmark, self.method, self.settings, self.parts)

    def arguments(self) -> list[str]:
        """The training script's arguments, without the folder."""
        result = ["--benchmark", self.benchmark, "--method", self.method]
        for part, entry in self.parts.items():
            result += [f"--{part}", entry]
        for key, value in self.settings.items():
            result += ["--set", f"{key}={as_text(value)}"]
        return result


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
    """

    name: str
    status: str
    benchmark: str = ""
    method: str = ""
    message: str = ""
    step: int = 0
    total_steps: int = 0
    created: float = 0.0

    @property
    def live(self) -> bool:
        """Whether it may change by itself."""
        return self.status in LIVE


# -- settings ---------------------------------------------------------------------------------------------------------
def read_only() -> bool:
    """Whether training and deletion are switched off (``PALORA_READ_ONLY=1``, for public demos)."""
    return os.environ.get("PALORA_READ_ONLY", "") not in ("", "0")


def at_once() -> int:
    """How many runs may train at the same time."""
    try:
        value = read_json(runs_root() / ".queue.json", "queue setting")["at_once"]
    except (UserError, KeyError, TypeError):
        value = os.environ.get("PALORA_RUNS_AT_ONCE", "1")
    try:
        return max(1, min(int(value), most_at_once()))
    except (TypeError, ValueError):
        return 1


def most_at_once() -> int:
    """What this machine can bear: one run per core."""
    return max(1, os.cpu_count() or 1)


def set_at_once(count: int) -> None:
    """Change how many runs may train at the same time."""
    _check_allowed()
    write_json(runs_root() / ".queue.json", {"at_once": max(1, min(int(count), most_at_once()))})
    advance()


def _check_allowed() -> None:
    if read_only():
        raise UserError("Training and deletion are switched off on this server.")


# -- names and folders ------------------------------------------------------------------------------------------------
def folder_of(name: str) -> Path:
    """The folder of the run called ``name``.

    Raises:
        UserError: not a run below the run root.
    """
    parts = str(name).split("/")
    if len(parts) <= DEPTH and all(NAME.fullmatch(part) for part in parts):
        folder = runs_root().joinpath(*parts)
        if folder.is_dir() and folder.resolve() == runs_root().resolve().joinpath(*parts):
            return folder
    raise UserError(f"There is no run called {str(name)[:120]!r}.")


def names() -> list[str]:
    """All runs below the run root, newest first."""
    root = runs_root()
    found = [(path.stat().st_mtime, path) for path in _run_folders(root, DEPTH)]
    ages = {path: _created(path, changed) for changed, path in found}
    return [path.relative_to(root).as_posix() for path in sorted(ages, key=lambda p: (-ages[p], p.name))]


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    try:
        children = [p for p in folder.iterdir() if NAME.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    except OSError:
        return
    for child in children:
        if any((child / name).is_file() for name in ("config.json", "job.json")):
            yield child
        elif depth > 1:
            yield from _run_folders(child, depth - 1)


def _created(folder: Path, changed: float) -> float:
    created = _order(folder).get("created")
    if isinstance(created, int | float):
        return float(created)
    with contextlib.suppress(OSError):
        return (folder / "config.json").stat().st_mtime
    return changed


# -- what a run is doing ----------------------------------------------------------------------------------------------
def job(name: str) -> Job:
    """The present state of one run."""
    folder = folder_of(name)
    run, order = Run(folder), _order(folder)
    events = read_events(folder)
    status = _status(run, order, events)
    benchmark, method = _names(run, order)
    start = next((e for e in reversed(events) if e["kind"] == "start"), {})
    return Job(
        name=name,
        status=status,
        benchmark=benchmark,
        method=method,
        message=_message(folder, status, events),
        step=max((int(e.get("step") or 0) for e in events[-1:]), default=0),
        total_steps=int(start.get("total_steps") or 0),
        created=_created(folder, 0.0),
    )


def jobs() -> list[Job]:
    """The present state of all runs, newest first."""
    found = []
    for name in names():
        with contextlib.suppress(UserError):  # deleted in this moment
            found.append(job(name))
    return found


def _status(run: Run, order: Mapping[str, Any], events: list[dict[str, Any]]) -> str:
    status: str = run.status()
    if status in ("running", "stopping"):
        began = order.get("launched") or 0.0
        ready = any(e["kind"] == "start" and e["time"] >= began for e in events)
        return status if ready or status == "stopping" else "starting"
    if order.get("queued"):
        return "queued"
    if status == "crashed" and _error_line(run.folder):
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
        return value.get("--benchmark", ""), value.get("--method", "")


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
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


# -- what a person may do ---------------------------------------------------------------------------------------------
def start(order: Order) -> str:
    """Put a new run into the queue (it begins at once if there is room) and return its name."""
    _check_allowed()
    order.check()
    if sum(j.status == "queued" for j in jobs()) >= MAX_QUEUED:
        raise UserError(f"{MAX_QUEUED} runs are waiting already; let some of them finish, or take some out.")
    folder = _new_folder(f"{order.benchmark}-{order.method}")
    now = time.time()
    _write_order(folder, {"arguments": order.arguments(), "created": now, "queued": now, "threads": _threads()})
    advance()
    return folder.name


def resume(name: str) -> None:
    """Put a stopped, failed or crashed run into the queue again."""
    _check_allowed()
    if job(name).status not in ("stopped", "failed", "crashed", "new"):
        raise UserError(f"{name} is {job(name).status}; only a run that has stopped can be resumed.")
    folder = folder_of(name)
    _write_order(folder, {"threads": _threads(), **_order(folder), "queued": time.time()})
    (folder / "stop").unlink(missing_ok=True)
    advance()


def stop(name: str) -> None:
    """Ask a run to save its state and end; take a waiting one out of the queue."""
    _check_allowed()
    folder, status = folder_of(name), job(name).status
    if status == "queued":
        _write_order(folder, {**_order(folder), "queued": None})
        return
    run = Run(folder)
    owner = run.process()
    if status not in ("starting", "running", "stopping") or owner is None:
        raise UserError(f"{name} is not running.")
    run.request_stop()
    if status == "starting" and is_alive(owner) and owner["pid"] != os.getpid():
        with contextlib.suppress(OSError):  # nothing to save yet, and loading data can take minutes
            os.killpg(owner["pid"], signal.SIGTERM)


def delete(name: str) -> None:
    """Remove a run that is not running, with everything in its folder."""
    _check_allowed()
    folder = folder_of(name)
    if job(name).live:
        raise UserError(f"{name} is {job(name).status}; stop it before you delete it.")
    hidden = folder.with_name(f".deleted-{folder.name}-{time.time_ns()}")
    folder.rename(hidden)  # out of every list at once, however long the rest takes
    shutil.rmtree(hidden, ignore_errors=True)


def _new_folder(stem: str) -> Path:
    root = runs_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number in range(1000):
            stamp = time.strftime("%Y%m%d-%H%M%S") + (f"-{number}" if number else "")
            with contextlib.suppress(FileExistsError):
                (root / f"{stem}-{stamp}").mkdir()
                return root / f"{stem}-{stamp}"
    except OSError as error:
        raise UserError(f"The folder of runs cannot be written ({error.strerror}).") from None
    raise UserError("Too many runs were started in one second; try again.")


# -- the queue --------------------------------------------------------------------------------------------------------
def advance() -> None:
    """Start waiting runs, oldest first, while there is room; safe to call from anywhere, any time."""
    _children[:] = [child for child in _children if child.poll() is None]
    if not runs_root().is_dir() or read_only():
        return
    with _queue_lock():
        current = jobs()
        room = at_once() - sum(j.status in ("starting", "running", "stopping") for j in current)
        waiting = [(float(_order(folder_of(j.name))["queued"]), j.name) for j in current if j.status == "queued"]
        for _, name in sorted(waiting)[: max(0, room)]:
            _launch(folder_of(name))


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
def _queue_lock() -> Iterator[None]:
    with (runs_root() / ".queue.lock").open("a") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _launch(folder: Path) -> None:
    """Start the training process of a folder, detached from this server."""
    order = _order(folder)
    begun = (folder / "config.json").is_file()
    arguments = ["--resume"] if begun else [str(a) for a in order.get("arguments", [])]
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments, "--out", str(folder.resolve())]
    nice = shutil.which("nice")
    threads = str(order.get("threads") or _threads())
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
    _write_order(folder, {**order, "queued": None, "launched": time.time()})
    with (folder / "log.txt").open("ab") as log:
        log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}: {'resumed' if begun else 'started'}\n".encode())
        log.flush()
        child = subprocess.Popen(
            [nice, "-n", "10", *command] if nice else command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            cwd=ROOT,
        )
    _children.append(child)
    Run(folder).note_process(child.pid)


def _threads() -> int:
    """Kept in the order, since a resume is bit-identical only with the same number of threads."""
    return max(1, (os.cpu_count() or 2) - 1)


def _order(folder: Path) -> dict[str, Any]:
    try:
        order = read_json(folder / "job.json", "job")
    except UserError:
        return {}
    if not isinstance(order, dict):
        return {}
    times = {name: order.get(name) for name in ("created", "queued", "launched")}
    return {**order, **{name: value if isinstance(value, int | float) else None for name, value in times.items()}}


def _write_order(folder: Path, order: Mapping[str, Any]) -> None:
    write_json(folder / "job.json", {"format": 1, **order})


# -- how long ---------------------------------------------------------------------------------------------------------
def estimate(order: Order) -> float | None:
    """Seconds that ``order`` will take, from earlier runs that differ in seed, length and rates only; None: unknown."""
    bench, method, training = configure(order.benchmark, order.method, order.settings, order.parts)
    from palora_core.config import to_dict

    wanted = _cost_key(to_dict(bench), {"name": order.method, **to_dict(method)}, to_dict(training))
    rates = []
    for name in names()[:100]:
        with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
            folder = folder_of(name)
            config = Run(folder).config()
            same = config["benchmark"]["name"] == order.benchmark
            if same and _cost_key(config["benchmark"]["options"], config["method"], config["training"]) == wanted:
                rates += _seconds_per_epoch(read_events(folder), config["training"]["epochs"])
    return sorted(rates)[len(rates) // 2] * training.epochs if rates else None


def _cost_key(benchmark: Mapping[str, Any], method: Mapping[str, Any], training: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the time of an epoch depends on."""
    costly = ("batch_size", "precision", "evaluate_every", "front_points", "eval_batch_size", "batch_norm")
    return dict(benchmark), str(method), [training.get(name) for name in costly]


def _seconds_per_epoch(events: list[dict[str, Any]], epochs: int) -> list[float]:
    """Of a run that went through in one go."""
    starts = [e for e in events if e["kind"] == "start"]
    whole = len(starts) == 1 and events[-1]["kind"] == "end" and events[-1].get("reason") == "finished"
    return [(events[-1]["time"] - starts[0]["time"]) / epochs] if whole else []


def as_text(value: Any) -> str:
    """An option's value as the command line takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(as_text(item) for item in value) or "none"
    return "none" if value is None else str(value)
