"""A progress bar, in a terminal or a notebook, while there is somebody to see it."""

from __future__ import annotations

import sys
from typing import Any


class Bar:
    """A bar with the time left on standard error, or below a notebook's cell; one bar per kind of work.

    Args:
        shown: whether there is anything to be seen.
    """

    def __init__(self, shown: bool = True) -> None:
        self.what, self.shown = "", shown
        self.bar: Any = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show ``done`` of ``total`` for ``what``, while there is somebody to show it to."""
        if not self.shown:
            return
        try:
            self._show(what, done, total)
        except ImportError:  # without tqdm the work goes on unseen
            self.shown = False
        except OSError:  # standard error is a closed pipe or a full disk: no reason to stop the work
            self.shown = False
            if self.bar is not None:
                self.bar.disable = True

    def _show(self, what: str, done: int, total: int) -> None:
        if what != self.what or self.bar is None:
            self.close()
            self.bar = _tqdm()(total=total, desc=what, unit="step", disable=hidden(), leave=what == "training")
            self.what = what
        self.bar.update(done - self.bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
        self.what, self.bar = "", None


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    return "ipykernel" in sys.modules


def hidden() -> bool | None:
    """tqdm's ``disable``: hidden where standard error is no terminal, but for notebooks, which have none."""
    return False if in_notebook() else None


def _tqdm() -> Any:
    if in_notebook():
        from tqdm.auto import tqdm  # with widgets where they are installed

        return tqdm
    from tqdm import tqdm as plain

    return plain
