"""The documented ``torchrun`` command on two ranks: one killed, or all stopped, then resumed as if nothing had been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import releases  # noqa: E402

from palora_core.preparation.base import preparers  # noqa: E402
from palora_core.storage.runs import Run  # noqa: E402

pytestmark = pytest.mark.slow

COMMON = ("rank=1", "num_preferences=2", "front_points=2", "evaluate_every=0", "checkpoint_seconds=0")
CASES = {
    "cityscapes": (releases.cityscapes_mtan, ("width=0.0625", "batch_size=2"), 8),
    "sarcos": (releases.sarcos, ("batch_size=16",), 40),
}
PATIENCE = 120  # seconds; other work may leave little of the processor


def torchrun(data: Path, out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(ROOT / "scripts/train.py"), "--data", str(data), "--out", str(out), "--device", "cpu", *options]
    log = out.with_suffix(".log").open("a")
    return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def done(work: subprocess.Popen, out: Path) -> None:
    assert work.wait(PATIENCE) == 0, out.with_suffix(".log").read_text()[-3000:]
    assert Run(out).status() == "finished"


def ranks(pid: int) -> list[int]:
    """The children of torchrun that train."""
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return sorted(child for child in children if b"train.py" in Path(f"/proc/{child}/cmdline").read_bytes())


def interrupt(work: subprocess.Popen, out: Path, how: str) -> None:
    """Once a state is saved: SIGKILL one rank, or SIGTERM to torchrun as a scheduler would."""
    end = time.monotonic() + PATIENCE
    while not (out / "state.pt").exists():
        assert work.poll() is None and time.monotonic() < end, out.with_suffix(".log").read_text()[-3000:]
        time.sleep(0.01)
    if how == "stop":
        work.send_signal(signal.SIGTERM)
    else:
        os.kill(ranks(work.pid)[int(how)], signal.SIGKILL)
    assert work.wait(PATIENCE) != 0 or how == "stop"


@pytest.mark.parametrize("name", CASES)
def test_an_interrupted_run_of_two_ranks_ends_like_an_uninterrupted_one(name, tmp_path):
    release, settings, epochs = CASES[name]
    preparers.get(name)().prepare(release(tmp_path / "raw"), tmp_path)
    options = ["--benchmark", name, "--epochs", str(epochs)]
    for setting in (*settings, *COMMON):
        options += ["--set", setting]
    whole = tmp_path / "whole"
    done(torchrun(tmp_path, whole, *options), whole)
    for how in ("0", "1", "stop"):
        out = tmp_path / f"interrupted-{how}"
        interrupt(torchrun(tmp_path, out, *options), out, how)
        assert Run(out).status() in ("crashed", "failed", "stopped"), how
        done(torchrun(tmp_path, out, "--resume"), out)
        assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes(), how
