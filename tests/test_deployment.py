"""What is written for servers does what it says: container steps, proxy and password, workers on PostgreSQL."""

from __future__ import annotations

import base64
import functools
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from palora_core.errors import UserError
from palora_core.sweeps import Sweep, grid

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parent.parent
FILES = ROOT / "docs" / "deployment"
STEPS = [
    line.replace("\\\n", " ").partition(" ")[::2]
    for line in re.sub(r"\\\n\s*", " ", (FILES / "Dockerfile").read_text()).splitlines()
    if line and not line.startswith("#")
]


def arguments(instruction: str) -> list[str]:
    return [given for name, given in STEPS if name == instruction]


def test_the_container_copies_what_exists_and_serves_as_nobody_in_particular():
    for given in arguments("COPY"):
        *sources, _ = given.split()
        assert all((ROOT / source).exists() for source in sources), given
    assert arguments("USER") == ["palora"] and arguments("HEALTHCHECK")
    assert [name for name, _ in STEPS][-1] == "CMD"
    assert "PALORA_READ_ONLY=1" in arguments("ENV")
    copied = " ".join(arguments("COPY"))
    for needed in ("pyproject.toml", "palora_core", "app", "trained_models", "docs/published", "requirements.lock"):
        assert needed in copied


def test_only_the_proxy_is_reached_from_outside():
    services = yaml.safe_load((FILES / "compose.yaml").read_text())["services"]
    assert "ports" not in services["dashboard"] and services["proxy"]["ports"] == ["80:80", "443:443"]
    assert services["dashboard"]["environment"]["PALORA_READ_ONLY"] == "1"
    asked = set(re.findall(r"\{\$(\w+)", (FILES / "Caddyfile").read_text()))
    assert asked == set(services["proxy"]["environment"])
    job = yaml.safe_load((FILES / "kubernetes-sweep.yaml").read_text())
    (worker,) = job["spec"]["template"]["spec"]["containers"]
    assert worker["command"][:2] == ["palora", "sweep"] and worker["env"][0]["name"] == "PALORA_STORAGE"


def test_a_database_that_cannot_be_used_is_told_without_its_password(tmp_path):
    sweep = Sweep(tmp_path, grid({"rank": ("1",)}), lambda point, folder: 0, "postgresql://me:secret@127.0.0.1:1/x")
    with pytest.raises(UserError, match=r"The database 127\.0\.0\.1:1/x cannot be used") as told:
        sweep.work()
    assert "secret" not in str(told.value)


# -- with the real programs ------------------------------------------------------------------------------------------
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def installed(program: str, package: str) -> str:
    """Path of a program of Debian's, installed where that can be done."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    found = str(versions[-1]) if versions else shutil.which(program)
    if not found and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-qq", package], capture_output=True, timeout=240)
        versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
        found = str(versions[-1]) if versions else shutil.which(program)
    return found or pytest.skip(f"{program} is not there and cannot be installed")


@contextmanager
def running(command: list[str], **more) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def answer(url: str, password: str = "") -> int:
    """The HTTP status, 0 while nobody answers."""
    request = urllib.request.Request(url)
    if password:
        request.add_header("Authorization", f"Basic {base64.b64encode(f'class:{password}'.encode()).decode()}")
    trusting = ssl._create_unverified_context()  # the certificate is one of the proxy's own
    try:
        return urllib.request.urlopen(request, timeout=60, context=trusting).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_for(url: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not answer(url):
        assert time.monotonic() < end, f"{url} does not answer"
        time.sleep(0.3)


@pytest.mark.slow
def test_the_proxy_asks_for_a_password_and_passes_pages_on(tmp_path):
    caddy = installed("caddy", "caddy")
    inside, outside = free_port(), free_port()
    hashed = subprocess.run([caddy, "hash-password", "--plaintext", "open"], capture_output=True, text=True).stdout
    environment = {
        **os.environ,
        "PALORA_SITE": f"localhost:{outside}",
        "PALORA_TLS": "internal",
        "PALORA_USER": "class",
        "PALORA_PASSWORD_HASH": hashed.strip(),
        "PALORA_DASHBOARD": f"127.0.0.1:{inside}",
        "PALORA_READ_ONLY": "1",
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
    }
    settings = tmp_path / "Caddyfile"
    settings.write_text(
        "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n" + (FILES / "Caddyfile").read_text()
    )
    dashboard = [sys.executable, "-m", "palora_core", "app", "--port", str(inside)]
    with (
        running(dashboard, env=environment, cwd=ROOT),
        running([caddy, "run", "--config", str(settings), "--adapter", "caddyfile"], env=environment),
    ):
        wait_for(f"http://127.0.0.1:{inside}/_stcore/health")
        wait_for(f"https://localhost:{outside}/")
        assert answer(f"https://localhost:{outside}/") == 401
        assert answer(f"https://localhost:{outside}/", "wrong") == 401
        assert answer(f"https://localhost:{outside}/", "open") == 200
        assert answer(f"https://localhost:{outside}/_stcore/health", "open") == 200


def fake_train(point, folder):
    """A run's front without a training."""
    from palora_core.evaluation.front import Front

    folder.mkdir(parents=True)
    value = float(point["rank"])
    Front([[1, 0], [0, 1]], [[1 / value, 1], [1, 1 / value]], {}, ("a", "b"), (2.0, 2.0)).save(folder / "front.json")
    return 0


@pytest.mark.slow
def test_workers_share_a_sweep_through_postgresql(tmp_path):
    pytest.importorskip("psycopg2")
    initdb, postgres = (installed(name, "postgresql") for name in ("initdb", "postgres"))
    place, port = Path("/tmp") / f"palora-pg-{os.getpid()}", free_port()
    place.mkdir()
    owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if owner:
        shutil.chown(place, "postgres")
    try:
        subprocess.run([*owner, initdb, "-D", place / "data", "-A", "trust", "-U", "palora"], check=True, cwd=place)
        settings = ["-D", place / "data", "-p", str(port), "-k", place, "-c", "listen_addresses=127.0.0.1"]
        with running([*map(str, [*owner, postgres, *settings])], cwd=place):
            url = f"postgresql+psycopg2://palora@127.0.0.1:{port}/postgres"
            points = grid({"rank": ("1", "2", "4")})
            make = functools.partial(Sweep, points=points, train=fake_train, storage=url)
            end = time.monotonic() + 60
            while True:
                try:
                    first = make(tmp_path / "one" / "shared")
                    assert first.work(trials=1) == 1
                    break
                except UserError:
                    assert time.monotonic() < end
                    time.sleep(0.5)
            second = make(tmp_path / "two" / "shared")  # another machine: nothing in common but the database
            assert second.work() == 2 and first.work() == 0
            assert [row["settings"]["rank"] for row in first.results()] == ["4", "2", "1"]
            other = Sweep(tmp_path / "three" / "shared", grid({"rank": ("1", "8")}), fake_train, url)
            with pytest.raises(UserError, match="holds a sweep over other points"):
                other.work()
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow
def test_the_steps_of_the_container_in_a_clean_environment(tmp_path):
    """No container engine runs here: the same steps, in a folder and an environment of their own."""
    home, port = tmp_path / "root", free_port()
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TORCH": "cpu"}
    folder = home / "srv"
    for name, given in STEPS:
        given = given.replace("/opt/palora", str(home / "opt")).replace("/srv/palora", str(home / "srv"))
        given = given.replace("/home/palora", str(home / "home"))
        if name == "WORKDIR":
            folder = Path(given)
            folder.mkdir(parents=True, exist_ok=True)
        elif name == "ENV":
            key, _, value = given.partition("=")
            variables[key] = value.replace("$PATH", variables["PATH"])
        elif name == "COPY":
            *sources, target = given.split()
            for source in sources:
                goal = folder / target / Path(source).name if target.endswith("/") else folder / target
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, goal)
        elif name == "RUN" and not given.startswith("useradd"):
            given = re.sub(r"--extra-index-url \S+ ", "", given)  # the same versions, from where this machine installs
            subprocess.run(["bash", "-c", given], cwd=folder, env={**os.environ, **variables}, check=True, timeout=1500)
    command = next(given for name, given in STEPS if name == "CMD")
    words = [word.strip('",') for word in shlex.split(command.strip("[]").replace(",", " "))]
    words = [{"0.0.0.0": "127.0.0.1", "8501": str(port)}.get(word, word) for word in words]
    program = shutil.which(words[0], path=variables["PATH"])
    assert program.startswith(str(home))
    with running([program, *words[1:]], cwd=folder, env=variables):
        wait_for(f"http://127.0.0.1:{port}/_stcore/health")
