"""What the command-line scripts share: the import path, one-sentence errors, a progress bar, ``--set``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads cost 5-10 × on a shared machine

PARTS = ("conditioning", "balancer", "sampler")  # of a method; each is an option of its own
DEFAULT_DATA = Path(os.environ.get("DATA_DIR", ROOT / "data"))


def main(run: Callable[[], int | None]) -> None:
    """Call ``run``; a UserError becomes one sentence on standard error and exit status 2."""
    from palora_core.errors import UserError

    try:
        sys.exit(run() or 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def target(path: Path) -> Path:
    """A file to be written after long work, checked before it."""
    from palora_core.errors import UserError

    path = path.absolute()
    above = next(folder for folder in path.parents if folder.exists())
    if path.is_dir() or not above.is_dir():
        raise UserError(
            f"{path} cannot be written, since {path if path.is_dir() else above} is "
            f"{'a folder' if path.is_dir() else 'a file'}; give --out another name."
        )
    return path


def settings(pairs: list[str]) -> dict[str, str]:
    """``["rank=8", "seed=1"]`` as a dict."""
    from palora_core.errors import UserError

    result = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--set takes name=value, found {pair!r}.")
        result[key.strip()] = value.strip()
    return result


class Bar:
    """A progress bar on standard error with the time left; one bar per kind of work."""

    def __init__(self, shown: bool = True) -> None:
        self.what, self.bar, self.shown = "", None, shown

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show ``done`` of ``total`` for ``what``."""
        if not self.shown:
            return
        from tqdm import tqdm

        if what != self.what or self.bar is None:
            self.close()
            self.bar: Any = tqdm(total=total, desc=what, unit="step", disable=None, leave=what == "training")
            self.what = what
        self.bar.update(done - self.bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
        self.what, self.bar = "", None
