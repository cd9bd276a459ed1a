"""A dashboard on a free localhost port for the length of a block, for benchmarks and screenshots."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from _cli import ROOT


@contextmanager
def dashboard(patience: float = 90.0) -> Iterator[tuple[str, float]]:
    """Yields (address, seconds until the server answered); the server is stopped at the end."""
    from palora_core.errors import UserError

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "app.py"), "--server.port", str(port)]
    with tempfile.TemporaryDirectory() as runs:
        environment = {**os.environ, "PALORA_RUNS": runs, "OMP_WAIT_POLICY": "PASSIVE"}
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while not _answers(url):
                if process.poll() is not None or time.monotonic() - began > patience:
                    raise UserError("The dashboard did not start; run `make app` to see why.")
                time.sleep(0.1)
            yield url, time.monotonic() - began
        finally:
            process.terminate()
            process.wait(timeout=20)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
