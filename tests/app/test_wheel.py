"""The wheel, installed outside of the checkout: it holds all that it needs, trains, and opens the dashboard.

The environment is a new one that sees the packages of this one (torch is not installed a second time), and nothing of
the checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.app.browsing import WAIT, settle
from tests.app.servers import listens_on_loopback_only, running

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("train_images=64", "test_images=16", "batch_size=16", "num_preferences=2", "samples=1", "front_points=2")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    here = ["--no-build-isolation"] if find_spec("hatchling") else []
    done = subprocess.run([*build, *here], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("palora_core-*.whl")
    return found


@pytest.fixture(scope="module")
def outside(wheel, tmp_path_factory) -> Path:
    """A folder with ``venv``, in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("outside")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True, timeout=120)
    python = folder / "venv" / "bin" / "python"
    own = run(folder, "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (Path(own) / "dependencies.pth").write_text("\n".join(paths) + "\n")  # their own .pth files are not followed
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*install, str(wheel)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return folder


def environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PALORA", "PYTHON", "DATA_DIR"))}
    return {**own, "OMP_NUM_THREADS": "1"}


def run(folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "venv" / "bin" / program), *words]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done


def files(folder: str) -> set[str]:
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_the_wheel_holds_every_file_at_its_place(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {name for name in files("trained_models") if "-methods/" not in name}
    beside = files("app") | files("docs/published") | shipped
    expected = files("palora_core") | {f"palora_studio/{name}" for name in beside}
    installed = {name for name in names if ".dist-info/" not in name}
    assert installed == expected
    assert {name.partition("/")[0] for name in installed} == {"palora_core", "palora_studio"}, "no top-level app"
    assert wheel.stat().st_size < 60e6


def test_outside_nothing_is_taken_from_the_checkout(outside):
    code = (
        "import sys, json, importlib.util, palora_core\n"
        "print(json.dumps([palora_core.__file__, importlib.util.find_spec('app') is None, sys.path]))"
    )
    file, no_app, paths = json.loads(run(outside, "python", "-c", code).stdout)
    assert file.startswith(str(outside)) and no_app
    assert str(ROOT) not in paths
    shown = run(outside, "palora", "doctor").stdout
    assert f"dashboard in {outside}" in shown and "multimnist-bottleneck, rooms, spoken_digits, streets" in shown


def test_outside_an_epoch_trains_and_its_model_loads(outside):
    words = [word for setting in SMALL for word in ("--set", setting)]
    shown = run(outside, "palora", "train", "--benchmark", "multimnist", "--epochs", "1", "--out", "runs/first", *words)
    assert "runs/first: hypervolume" in shown.stdout
    code = "import palora_core as pc; model, card = pc.load('runs/first'); print(model.num_tasks, card['title'])"
    assert run(outside, "python", "-c", code).stdout.strip() == "2 PaLoRA on MultiMNIST"


@pytest.mark.browser
def test_outside_the_dashboard_opens_and_steers(outside, chromium):
    def command(port: str) -> list[str]:
        return [str(outside / "venv" / "bin" / "palora"), "app", "--port", port]

    clean = {name: "" for name in os.environ if name.startswith(("PALORA", "PYTHON"))}
    with running(command, outside / "server.log", outside, **clean) as (address, process):
        assert listens_on_loopback_only(int(address.rpartition(":")[2]))
        page = chromium.new_page(viewport={"width": 1366, "height": 900})
        page.set_default_timeout(WAIT)
        page.goto(f"{address}/?model=multimnist")
        page.wait_for_selector(".palora[data-painted]")
        settle(page)
        for name in ("compare", "models", "train", "learn"):
            page.goto(f"{address}/{name}")
            page.wait_for_selector("h1")
            assert not page.locator("[data-testid=stException]").count(), name
        page.close()
    assert process.poll() is not None
    with pytest.raises(OSError):  # nobody is left who serves
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=5)
