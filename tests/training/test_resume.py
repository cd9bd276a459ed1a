"""Kill -9 at any moment, resume, and nothing of the result differs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CRASH = Path(__file__).with_name("crash.py")


def outcomes(folder: Path, stride: int, random_kills: int) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CRASH), str(folder), str(stride), str(random_kills)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def check(report: dict) -> None:
    whole = report["whole"]
    assert whole["status"] == "finished"
    assert whole["steps_increase"]
    assert [epoch for epoch, _ in whole["fronts"]] == [1, 2, 3]
    assert whole["left_over"] == []
    assert report["operations"] > 50
    for name, killed in report["killed"].items():
        assert killed == whole, name


@pytest.mark.timeout(900)
def test_a_killed_and_resumed_run_ends_like_an_uninterrupted_one(tmp_path):
    check(outcomes(tmp_path, stride=43, random_kills=1))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_at_every_second_file_operation_changes_nothing(tmp_path):
    check(outcomes(tmp_path, stride=2, random_kills=10))
