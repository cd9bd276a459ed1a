"""Plain child processes that report line by line: the way in which data are made in parallel.

Not ``multiprocessing``: a child of this kind works below pytest, Streamlit, daemons, standard input and scripts without
a main guard alike, never runs the caller's main script again, and ends by itself, by the broken pipe, when the process
that wants its work is killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Queue
from typing import Any

from palora_core.errors import UserError

MARK = "> "  # before a message; any other line is kept to tell why a child failed
# The current folder does not come before what this process finds (Python 3.10 cannot leave it out).
_SAFE = ["-P"] if sys.version_info >= (3, 11) else []
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class ChildError(Exception):
    """A child ended before its work was done; the message is the last of what it wrote, or "killed"."""


def messages_of(module: str, jobs: Sequence[bytes]) -> Iterator[Any]:
    """What ``python -m module`` reports, in the order in which it happens, with one process per job.

    Args:
        module: reads its job from the standard input and ends with ``sys.exit(report(...))``.
        jobs: standard input of each child.

    Raises:
        ChildError: one of them failed; all are ended.
    """
    lines: Queue[tuple[int, str | None]] = Queue()
    children: list[subprocess.Popen[bytes]] = []
    threads: list[threading.Thread] = []
    said: dict[int, list[str]] = {number: [] for number in range(len(jobs))}
    try:
        for number, job in enumerate(jobs):  # noted one by one: what has begun is ended also where the next one fails
            children.append(child := _start(module))
            threads.append(_started(_feed, child, job))
            threads.append(_started(_read, number, child, lines))
        running = len(jobs)
        while running:
            number, line = lines.get()
            if line is None:
                running -= 1
                if children[number].wait() != 0:
                    raise ChildError(" ".join(said[number]) or "killed")
            elif line.startswith(MARK):
                yield json.loads(line.removeprefix(MARK))
            else:
                said[number] = [*said[number], line][-3:]
    finally:
        for child in children:
            child.kill()
            child.wait()
        for thread in threads:
            thread.join()


def report(messages: Iterable[Any]) -> int:
    """In the child: print every message as it comes; the exit status."""
    try:
        for message in messages:
            print(f"{MARK}{json.dumps(message)}", flush=True)
    except BrokenPipeError:  # nobody waits for them any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, UserError) as error:
        print(getattr(error, "strerror", None) or error, flush=True)
        return 1
    return 0


def environment(**variables: str) -> dict[str, str]:
    """The environment of a child process that finds all modules that this one finds; ``variables`` are changed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), **variables}


def python(*words: str) -> list[str]:
    """The command line of a Python child, to be started with an :func:`environment`."""
    return [sys.executable, *_SAFE, *words]


def _start(module: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        python("-m", module),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(**_ONE_THREAD),
    )


def _started(target: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


def _feed(child: subprocess.Popen[bytes], job: bytes) -> None:
    assert child.stdin is not None
    try:
        with child.stdin as pipe:
            pipe.write(job)
    except BrokenPipeError:  # it failed on start; what it wrote says why
        pass


def _read(number: int, child: subprocess.Popen[bytes], lines: Queue[tuple[int, str | None]]) -> None:
    assert child.stdout is not None
    with child.stdout as output:
        for line in output:
            lines.put((number, line.decode(errors="replace").rstrip("\n")))
    lines.put((number, None))
