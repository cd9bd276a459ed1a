"""The scripts in ``examples``: each trains, saves, and is loaded by another process; nothing of ours is edited."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# script → what it needs, how it is started, where its model is
SCRIPTS = {
    "lightning_module": ("lightning", [], "runs/lightning"),
    "accelerate_loop": ("accelerate", [], "runs/accelerate"),
    "hf_trainer": ("accelerate", [], "runs/hf/model"),
    "fsdp2_loop": ("torch", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"], "runs/fsdp2"),
}
AGAIN = """
import sys, torch, {module} as example, palora_core as pc
model, _ = pc.load("{folder}", network=example.Network())
given = example.data(128, 1)
front = pc.evaluate(model, given, example.TASKS)
assert front.objectives.shape == (11, 2) and front.effect(), front
print(front.objectives)
"""


def python(folder: Path, *arguments: str) -> str:
    paths = os.pathsep.join([str(EXAMPLES.parent), str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def numbers(text: str) -> str:
    """The front that a script prints at its end."""
    return text[text.rindex("[[") :].strip()


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_trains_saves_and_is_loaded_elsewhere(tmp_path, script):
    needed, starter, folder = SCRIPTS[script]
    if find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    trained = python(tmp_path, *starter, str(EXAMPLES / f"{script}.py"))
    again = python(tmp_path, "-c", AGAIN.format(module=script, folder=folder))
    assert numbers(again)[:60] == numbers(trained)[:60]


def test_examples_are_short():
    for script in SCRIPTS:
        code = [line for line in (EXAMPLES / f"{script}.py").read_text().splitlines() if line.strip()]
        assert len(code) <= 45, f"{script} has {len(code)} lines"
