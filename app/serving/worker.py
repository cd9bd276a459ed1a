"""One thread that computes for everybody: newest request of a session wins, sessions take turns, idle time is used."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

Job = Callable[[], Any]

# A pause this long counts as idle; shorter ones occur between two moves of one drag.
IDLE_AFTER = 0.12


class Dropped(Exception):
    """The request was replaced by a newer one of the same session before its turn came."""


class Worker:
    """A queue with one slot per (session, kind) and a single thread.

    More threads would not help: the forward passes of one small network already fill a core, and they share the
    machine with training.

    Args:
        idle: called again and again while nobody waits; returns whether there is more for it to do. Each call should
            last no longer than one forward pass, as a request that arrives waits for it.
        started: called once in the thread.
    """

    def __init__(self, idle: Callable[[], bool] | None = None, started: Callable[[], None] | None = None) -> None:
        self._idle = idle
        self._started = started
        self._turns: OrderedDict[str, OrderedDict[str, tuple[Job, Future[Any]]]] = OrderedDict()
        self._condition = threading.Condition()
        self._closed = False
        self._active = 0.0
        self._thread = threading.Thread(target=self._run, name="palora-inference", daemon=True)
        self._thread.start()

    def submit(self, session: str, kind: str, job: Job) -> Future[Any]:
        """Ask for ``job()``; a request of the same session and kind that has not begun yet is dropped."""
        future: Future[Any] = Future()
        with self._condition:
            if self._closed:
                raise RuntimeError("the worker is closed")
            slots = self._turns.setdefault(session, OrderedDict())
            replaced = slots.pop(kind, None)
            slots[kind] = (job, future)
            self._condition.notify()
        if replaced and replaced[1].set_running_or_notify_cancel():
            replaced[1].set_exception(Dropped())
        return future

    def stay_away(self) -> None:
        """Somebody is at work without needing the queue (answers from a cache): leave the processor to them."""
        self._active = time.monotonic()

    def forget(self, session: str) -> None:
        """Drop everything a session still waits for."""
        with self._condition:
            slots = self._turns.pop(session, {})
        for _, future in slots.values():
            future.cancel()

    def close(self) -> None:
        """End the thread after the job it is at."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(timeout=10)

    def _next(self) -> tuple[Job, Future[Any]] | None:
        """The oldest request of the session that was served longest ago."""
        if not self._turns:
            return None
        session, slots = self._turns.popitem(last=False)
        _, item = slots.popitem(last=False)
        if slots:
            self._turns[session] = slots
        return item

    def _run(self) -> None:
        if self._started:
            self._started()
        more = True
        while True:
            with self._condition:
                if not self._turns and not self._closed:
                    self._condition.wait(IDLE_AFTER if more else None)
                if self._closed:
                    return
                item = self._next()
            if item:
                more = True
                _answer(*item)
            else:
                more = self._use_idle_time()

    def _use_idle_time(self) -> bool:
        while self._idle and not self._closed:
            if time.monotonic() - self._active < IDLE_AFTER:
                return True
            try:
                if not self._idle():
                    return False
            except Exception:
                # Work ahead is a courtesy: what fails here is reported when somebody asks for it.
                return False
            if self._turns:
                return True
        return False


def _answer(job: Job, future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except BaseException as error:
        future.set_exception(error)
