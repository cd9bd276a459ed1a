"""Where the dashboard looks for models and runs, and what it lets people send; all of it from the environment."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MAX_UPLOAD_BYTES = 20 * 2**20


def models_root() -> Path:
    """Folder of the shipped models (``PALORA_MODELS``)."""
    return Path(os.environ.get("PALORA_MODELS") or ROOT / "trained_models")


def runs_root() -> Path:
    """Folder of training runs (``PALORA_RUNS``)."""
    return Path(os.environ.get("PALORA_RUNS") or "runs")


def allowed_origins() -> frozenset[str]:
    """Hosts besides the server's own whose pages may open its socket (``PALORA_ORIGINS``, separated by commas)."""
    hosts = os.environ.get("PALORA_ORIGINS", "")
    return frozenset(host.strip() for host in hosts.split(",") if host.strip())
