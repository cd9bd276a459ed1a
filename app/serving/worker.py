"""One thread that computes for everybody: newest request of a session wins, sessions take turns, idle time is used."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

Job = Callable[[], Any]
Item = tuple[Job, "Future[Any]"]

# A pause this long counts as idle; shorter ones occur between two moves of one drag.
IDLE_AFTER = 0.12
# However many drag, whoever is patient gets a turn this often.
PATIENCE = 0.4


class Dropped(Exception):
    """The request was replaced by a newer one of the same session before its turn came."""


class Turns:
    """What waits: one slot per (session, kind), and sessions take turns."""

    def __init__(self) -> None:
        self._slots: OrderedDict[str, OrderedDict[str, Item]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._slots)

    def put(self, session: str, kind: str, item: Item) -> Item | None:
        """Let an item wait; what waited in its slot is given back."""
        slots = self._slots.setdefault(session, OrderedDict())
        replaced = slots.pop(kind, None)
        slots[kind] = item
        return replaced

    def take(self) -> Item:
        """The oldest item of the session that was served longest ago."""
        session, slots = self._slots.popitem(last=False)
        _, item = slots.popitem(last=False)
        if slots:
            self._slots[session] = slots
        return item

    def forget(self, session: str) -> list[Item]:
        """All that waits of a session, which waits no longer."""
        return list(self._slots.pop(session, {}).values())


class Worker:
    """A queue with one slot per (session, kind) and a single thread.

    What is patient (the next word of a text that streams) waits for what is not (a drag), but never longer than
    ``PATIENCE``. More threads would not help: the forward passes of one small network already fill a core, and they
    share the machine with training.

    Args:
        idle: called again and again while nobody waits; returns whether there is more for it to do. Each call should
            last no longer than one forward pass, as a request that arrives waits for it.
        started: called once in the thread.
    """

    def __init__(self, idle: Callable[[], bool] | None = None, started: Callable[[], None] | None = None) -> None:
        self._idle = idle
        self._started = started
        self._turns, self._patient = Turns(), Turns()
        self._since = 0.0  # when what is patient had its last turn, or began to wait
        self._condition = threading.Condition()
        self._closed = False
        self._active = 0.0
        self._thread = threading.Thread(target=self._run, name="palora-inference", daemon=True)
        self._thread.start()

    def submit(self, session: str, kind: str, job: Job, patient: bool = False) -> Future[Any]:
        """Ask for ``job()``; a request of the same session and kind that has not begun yet is dropped."""
        future: Future[Any] = Future()
        with self._condition:
            if self._closed:
                raise RuntimeError("the worker is closed")
            if patient and not self._patient:
                self._since = time.monotonic()
            replaced = (self._patient if patient else self._turns).put(session, kind, (job, future))
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
            waiting = self._turns.forget(session) + self._patient.forget(session)
        for _, future in waiting:
            future.cancel()

    def close(self) -> None:
        """End the thread after the job it is at."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(timeout=10)

    def _waits(self) -> bool:
        return bool(self._turns or self._patient)

    def _next(self) -> Item | None:
        """Who is next; those who are patient once nobody else waits, or they have waited long enough."""
        if self._patient and (not self._turns or time.monotonic() - self._since >= PATIENCE):
            self._since = time.monotonic()
            return self._patient.take()
        return self._turns.take() if self._turns else None

    def _run(self) -> None:
        if self._started:
            self._started()
        more = True
        while True:
            with self._condition:
                if not self._waits() and not self._closed:
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
            if self._waits():
                return True
        return False


def _answer(job: Job, future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except BaseException as error:
        future.set_exception(error)
