"""Where the dashboard, the shipped models and the published results lie, and starting what lies there.

In a checkout that is its top folder; a wheel puts the same files into ``palora_studio``, beside ``palora_core``.
Nothing of it is imported here: the dashboard and the figures run as processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from palora_core.children import environment, python
from palora_core.errors import UserError

PACKAGE = Path(__file__).resolve().parent.parent
INSTALLED = PACKAGE.parent / "palora_studio"
EXTRA = 'pip install "palora-core[app]"'


def home() -> Path | None:
    """The folder with ``app``, ``trained_models`` and ``docs/published``; None if the package was copied without it."""
    return next((folder for folder in (INSTALLED, PACKAGE.parent) if (folder / "app" / "app.py").is_file()), None)


def app_command(port: int | None, address: str | None) -> list[str]:
    """The command line that opens the dashboard.

    Raises:
        UserError: it, or what it needs, is not installed.
    """
    folder = home()
    if folder is None or find_spec("streamlit") is None:
        raise UserError(f"The dashboard is not installed; install it with: {EXTRA}")
    command = python("-m", "streamlit", "run", str(folder / "app" / "app.py"))
    command += ["--server.port", str(port)] if port is not None else []
    return command + (["--server.address", address] if address is not None else [])


def app_environment(**variables: str) -> dict[str, str]:
    """The environment of the dashboard: runs where the person is, nothing written where the package is installed."""
    found = environment(**variables)
    found.setdefault("PALORA_RUNS", str(Path("runs").absolute()))
    if home() == INSTALLED:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        found.setdefault("PALORA_CACHE", str(cache / "palora"))
    return found


def draw(figures: str, data: Path) -> bool:
    """Have ``app.exports.<figures>`` draw a file of numbers; False, with a sentence, where it cannot be."""
    folder = home()
    if folder is None or find_spec("plotly") is None:
        print(f"no figures: they need the dashboard's packages ({EXTRA})", file=sys.stderr)
        return False
    paths = os.pathsep.join([str(folder), environment()["PYTHONPATH"]])
    command = python("-m", f"app.exports.{figures}", str(data.absolute()))
    done = subprocess.run(command, cwd=folder, env=environment(PYTHONPATH=paths), capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"no figures: {reason}", file=sys.stderr)
    return done.returncode == 0
