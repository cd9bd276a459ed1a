"""Where the dashboard looks for models and runs, and what it lets people send; all of it from the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from palora_core.children import environment

ROOT = Path(__file__).resolve().parent.parent

MAX_IMPORT_BYTES = 300 * 2**20  # of a zip; server.maxUploadSize in app/.streamlit/config.toml is the same number


def models_root() -> Path:
    """Folder of the shipped models (``PALORA_MODELS``)."""
    return Path(os.environ.get("PALORA_MODELS") or ROOT / "trained_models")


def runs_root() -> Path:
    """Folder of training runs (``PALORA_RUNS``)."""
    return Path(os.environ.get("PALORA_RUNS") or "runs")


def child_environment(**variables: str) -> dict[str, str]:
    """The environment of a process that this server starts: it finds what is found here, and ``app`` as a package."""
    paths = [str(ROOT), *(path for path in sys.path if Path(path).absolute() != ROOT / "app")]  # see app.py
    return environment(PYTHONPATH=os.pathsep.join(map(os.path.abspath, paths)), **variables)


def origins_setting() -> list[str]:
    """Further names of this server, whose pages may open its sockets (``PALORA_ORIGINS``, separated by commas)."""
    names = os.environ.get("PALORA_ORIGINS", "").split(",")
    return [name.strip().rstrip("/") for name in names if name.strip()]
