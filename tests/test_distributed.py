"""Two gloo ranks: equal to the bit among themselves, equal to one process up to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from palora_core import distributed
from palora_core.errors import UserError

HELPER = Path(__file__).parent / "ranks.py"
METHODS = ("ls", "uw", "mgda", "pcgrad", "rotograd", "palora")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, HELPER, folder], capture_output=True, text=True, env=environment, timeout=290
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("method", METHODS)
def test_ranks_keep_the_same_weights_to_the_bit(report, method):
    assert report["rank0"]["weights"][method] == report["rank1"]["weights"][method]


@pytest.mark.parametrize("method", METHODS)
def test_two_ranks_do_what_one_process_does(report, method):
    result = report["methods"][method]
    assert result["moved"] > 1e-3
    assert result["difference"] < 2e-5


@pytest.mark.parametrize("method", METHODS)
def test_the_front_of_two_ranks_is_the_sequential_one(report, method):
    assert report["methods"][method]["same_front"]
    assert report["methods"][method]["points"] == (11 if method == "palora" else 1)


def test_valid_elements_count_the_same_on_whatever_rank_they_are(report):
    for number in range(2):
        found = report[f"rank{number}"]["masked"]
        assert found["loss"] == pytest.approx(report["masked"]["loss"], rel=1e-6)
        assert found["gradient"] == pytest.approx(report["masked"]["gradient"], rel=1e-6)


def test_a_stop_on_one_rank_stops_both_and_a_resume_ends_like_an_uninterrupted_run(report):
    first, second = report["rank0"], report["rank1"]
    assert first["stopped_at"] == second["stopped_at"] == 2
    assert first["whole"] == second["whole"] == first["resumed"] == second["resumed"]


def test_rank_0_alone_writes_the_events(report):
    assert report["events"].count("start") == report["events"].count("end") == 1
    assert report["events"].count("front") == 1


def test_a_single_process_needs_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert distributed.start("auto") == "auto"
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.part(7) == slice(0, 7)
    assert distributed.gathered([1, 2]) == [1, 2]
    assert [distributed.any_rank(flag) for flag in (True, False)] == [True, False]
    tensor = torch.ones(2)
    distributed.average_([tensor])
    distributed.broadcast_([tensor])
    assert tensor.tolist() == [1, 1]


def test_more_ranks_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="no GPU of its own"):
        distributed.start("auto")
