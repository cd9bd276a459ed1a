"""Stops: a file, SIGTERM or Ctrl-C, or a callback asks; training ends after the step it is at, with its state saved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from palora_core import distributed
from palora_core.storage.runs import Run


class StoppedInFront(Exception):
    """A stop was asked for while a front was evaluated."""


class Stopping:
    """Whether a run is to stop.

    Args:
        run: its folder may hold a stop file.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._asked = False

    def ask(self) -> None:
        """Stop after the current step."""
        self._asked = True

    def wanted(self) -> bool:
        """Whether any rank was asked; all ranks must call this."""
        return distributed.any_rank(self._asked or self.run.stop_requested())

    @contextmanager
    def signals(self) -> Iterator[None]:
        """A block in which SIGTERM and SIGINT ask for a stop."""

        def stop(*_: Any) -> None:
            self.ask()

        try:
            before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not in the main thread: stop files still work
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
