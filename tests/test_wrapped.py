"""Every conditioning under DDP and FSDP2, on two gloo ranks, against one process; and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import palora_core as pc
from tests.conditioning.test_conformance import NAMES, make

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    command = [sys.executable, str(Path(__file__).parent / "wrapped_ranks.py"), str(tmp_path_factory.mktemp("ranks"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


REFUSED = {("hyperlora", "nested")}  # its weights are made before the layers run
GRADIENTS = ("forward", "accumulate False", "accumulate True")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rank", [0, 1])
def test_ddp_averages_and_says_who_does(ranks, rank, name):
    found = ranks[rank]["ddp"][name]
    assert all(found[key] < 1e-10 for key in GRADIENTS), found
    assert "average=True" in found["refused"]


@pytest.mark.parametrize("wrapping", ["fsdp", "nested"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rank", [0, 1])
def test_fsdp2_trains_and_merges(ranks, rank, name, wrapping):
    found = ranks[rank][wrapping][name]
    if (name, wrapping) in REFUSED:
        assert "call fully_shard on the model alone" in found["error"]
        return
    assert all(found[key] < 1e-10 for key in GRADIENTS), found
    assert found["merged"] and found["merge"] < 1e-12 and found["merged hooks"] == 0
    assert "fully_shard" in found["refused"] and "loss.backward" in found["leaves"]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_frozen_base_in_shards_is_never_merged_and_its_adapters_are_saved(ranks, rank):
    found = ranks[rank]["frozen"]
    assert found.pop("card") == "from shards"
    assert found and all(value < 1e-10 for value in found.values()), found


@pytest.mark.parametrize("name", NAMES)
def test_data_parallel_is_refused(name):
    with pytest.raises(pc.UserError, match="DataParallel"):
        make(name)._replicate_for_data_parallel()  # what nn.DataParallel does for every GPU


def test_nothing_takes_the_place_of_a_computed_weight():
    layers = [pc.palorize(nn.Linear(4, 2), 3).network, make("ensemble").network.heads["c"]]
    layers.append(make("rotations").network.heads["c"])
    for layer in layers:
        replica = layer._replicate_for_data_parallel()
        with pytest.raises(pc.UserError, match="FSDP2"):
            replica.weight = torch.zeros(2, 4)
