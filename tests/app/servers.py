"""A real server for as long as a test needs it, on machines of any speed."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 200  # seconds until it is healthy
ATTEMPTS = 3

HERE = "http://localhost:8501"  # what the app in this process is asked for as
SOCKET = "ws://localhost:8501/palora/ws"


@contextmanager
def running(
    command: Callable[[str], list[str]], log: Path, folder: Path = ROOT, **environment: str
) -> Iterator[tuple[str, subprocess.Popen]]:
    """Address and process of a server; ``command`` makes its command line from the port."""
    with log.open("a") as file:
        address, process = _start(command, file, folder, {**os.environ, **environment, "OMP_NUM_THREADS": "1"})
        try:
            yield address, process
        finally:
            end(process)


def _start(command, file, folder, environment) -> tuple[str, subprocess.Popen]:
    for _ in range(ATTEMPTS):  # another process may take the port before the server does
        port = _free_port()
        process = subprocess.Popen(command(port), cwd=folder, env=environment, stdout=file, stderr=file)
        address = f"http://127.0.0.1:{port}"
        if _becomes_healthy(address, process):
            return address, process
        end(process)
    raise RuntimeError(f"the server did not start: {Path(file.name).read_text()[-2000:]}")


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _becomes_healthy(address: str, process: subprocess.Popen) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.read() == b"ok":
                    return process.poll() is None
        except OSError:
            time.sleep(0.2)
    return False


def end(process: subprocess.Popen) -> None:
    """End it, even one that is too busy to end by itself."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def listens_on_loopback_only(port: int) -> bool:
    """Whether every socket that listens on ``port`` is bound to the loopback, as the kernel's tables have it."""
    bound = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = row.split()
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                bound.append(address)
    return bool(bound) and set(bound) <= {"0100007F", "00000000000000000000000001000000"}
