"""Where things lie unless somebody says otherwise: data sets, the folders of runs, what is kept to be quick."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

MOST_OF_NAME = 60


def data_folder() -> Path:
    """The data root: ``$DATA_DIR``, or ``data`` here."""
    return Path(os.environ.get("DATA_DIR") or "data")


def cache_folder() -> Path:
    """What can be made anew, and is kept: ``$PALORA_CACHE``, or ``palora`` among the caches of this user."""
    own = os.environ.get("PALORA_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palora"


def new_run_folder(*words: str) -> Path:
    """A folder below ``runs`` that is not there yet, called by what runs: ``runs/digits-palora``, ``…-2``."""
    name = re.sub(r"[^\w.]+", "-", "-".join(words)).strip("-.")[:MOST_OF_NAME].lower()
    candidates = (Path("runs") / (f"{name}-{number}" if number > 1 else name) for number in itertools.count(1))
    return next(folder for folder in candidates if not folder.exists())
