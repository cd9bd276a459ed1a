"""The examples of docs/howto/large-models.md do what they say, on tiny networks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import palora_core as pc

ROOT = Path(__file__).resolve().parent.parent
TRAINER, DPO, SHARDED = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "howto" / "large-models.md").read_text(), re.DOTALL
)

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(code):
        names = {"__name__": "example"}
        torch.manual_seed(0)
        exec(compile(code, "large-models.md", "exec"), names)
        return names

    return run


def test_the_trainer_of_transformers(run):
    names = run(TRAINER)
    first, second = names["written"][:, 1:]
    assert (first < 32).all() and (second >= 32).all(), "each corner writes its own kind of text"
    again, _ = pc.load("runs/steered/adapters", network=names["base"])
    ids, corner = torch.tensor([[5, 6]]), torch.tensor([1.0, 0.0])
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(ids, corner).logits, names["model"].eval()(ids, corner).logits)


def test_dpo_of_trl(run):
    pytest.importorskip("trl")
    names = run(DPO)
    prompt, yes, no = torch.tensor([[2]]), names["words"]["yes"], names["words"]["no"]
    with torch.no_grad():
        for corner, likes, likes_not in (([1.0, 0.0], yes, no), ([0.0, 1.0], no, yes)):
            logits = names["model"].eval()(prompt, corner).logits[0, -1]
            assert logits[likes] > logits[likes_not]


def test_shards_on_two_ranks(tmp_path):
    (tmp_path / "sharded.py").write_text(SHARDED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "0",
        "sharded.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "runs" / "sharded" / "model.safetensors").is_file()
