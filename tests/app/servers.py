"""Starting and ending a real server, on machines of any speed."""

import subprocess
import time
import urllib.request
from pathlib import Path


def wait_until_healthy(address: str, process: subprocess.Popen, log: Path | None = None) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text()[-2000:] if log else process.returncode}")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the server did not become healthy in 200 s")


def end(process: subprocess.Popen) -> None:
    """End a server, even one that is too busy to end by itself."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
