"""What this server lets people do, and how much at once."""

from __future__ import annotations

import os

from app.settings import runs_root
from palora_core.errors import UserError
from palora_core.storage.reading import read_json


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


def check_allowed() -> None:
    """Raise a UserError where training and deletion are switched off."""
    if read_only():
        raise UserError("Training and deletion are switched off on this server.")
