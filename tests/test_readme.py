"""What the README tells a user to type works as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from palora_core.commands import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_python_example_runs():
    code, _ = blocks("python")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert re.match(r"0\.\d+ \[-?\d", result.stdout)


def test_the_example_of_training_runs(tmp_path):
    _, code = blocks("python")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert re.match(r"\d+\.\d+ PaLoRA on own data", result.stdout)
    assert (tmp_path / "runs" / "houses" / "model.safetensors").is_file()


def test_the_loop_of_ones_own_makes_a_front():
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own-loop.md").read_text(), re.DOTALL)[0]
    names: dict = {}
    torch.manual_seed(0)
    exec(compile(code, "own-loop.md", "exec"), names)
    corners = [names["model"](names["x"], corner).detach() for corner in ([1.0, 0.0], [0.0, 1.0])]
    losses = [[float((y[:, t] - names[n]).square().mean()) for t, n in enumerate(("first", "second"))] for y in corners]
    assert losses[0][0] < losses[1][0] and losses[1][1] < losses[0][1], "each corner is best at its own objective"


def test_the_commands_run_one_after_another(tmp_path):
    commands = next(block for block in blocks("bash") if "palora train" in block).strip().splitlines()
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command.replace("runs/", f"{tmp_path}/"))
        assert words[0] == "palora"
        result = subprocess.run(
            [sys.executable, "-m", "palora_core", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=280
        )
        assert result.returncode == 0, f"{command}\n{result.stderr}"
    assert (tmp_path / "first" / "chosen.safetensors").stat().st_size > 50_000
    assert (tmp_path / "expanded" / "front.json").is_file()


def test_every_command_that_is_named_is_one():
    assert set(re.findall(r"palora (\w+)", " ".join(re.findall(r"`[^`]*`|```bash.*?```", TEXT)))) <= set(COMMANDS)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`(scripts/\w+\.py)", TEXT))))
def test_every_script_that_is_named_explains_itself(command):
    result = subprocess.run([sys.executable, command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout


def test_every_file_that_is_linked_exists():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
