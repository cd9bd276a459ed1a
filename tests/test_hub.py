"""Models travel through the Hub's HTTP API (a stand-in on the loopback) and arrive as they were."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.errors import UserError
from tests.hub_server import Hub

pytest.importorskip("huggingface_hub")

PUSH = """
import sys, torch
from tests.test_hub import adapted
model = adapted()
card = {"title": "Mine", "tasks": ["speed", "care"]}
for name, alone in (("me/whole", False), ("me/alone", True)):
    print(model.push_to_hub(name, card=card, adapters_only=alone, token="t"))
torch.save((model.state_dict(), model(torch.ones(2, 4), [0.3, 0.7])), sys.argv[1])
"""
FETCH = """
import sys, torch, palora_core as pc
from tests.test_hub import Net
for name in ("me/whole", "me/alone"):
    model, card = pc.from_hub(name, network=Net(), token="t")
    expected = torch.load(sys.argv[1])[1]
    print(card["title"], card["tasks"][1]["name"], torch.equal(model(torch.ones(2, 4), [0.3, 0.7]), expected))
try:
    pc.from_hub("me/nothing", token="t")
except pc.UserError as error:
    print(error)
"""


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.second(self.first(x).relu())


def adapted():
    model = pc.palorize(Net(), num_tasks=2, rank=2, alpha=3.0).eval()
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b)
    return model


def python(code: str, address: str, home: Path, *args: Path) -> list[str]:
    """What a process of its own prints; the library reads the server's address when it is imported."""
    told = {"PYTHONPATH": str(Path(__file__).parents[1]), "HF_ENDPOINT": address, "HF_HOME": str(home)}
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_models_arrive_in_another_process_as_they_were(tmp_path):
    with Hub() as hub:
        pushed = python(PUSH, hub.address, tmp_path / "first", tmp_path / "model.pt")
        assert all(line.startswith(f"{hub.address}/me/") for line in pushed)
        fetched = python(FETCH, hub.address, tmp_path / "second", tmp_path / "model.pt")
    assert fetched[:2] == ["Mine care True"] * 2
    assert "Could not fetch the repository 'me/nothing'" in fetched[2]
    whole, alone = hub.repositories["me/whole"], hub.repositories["me/alone"]
    assert set(whole) == {"model.safetensors", "card.json", "README.md"}
    assert len(alone["model.safetensors"]) < len(whole["model.safetensors"])
    page = whole["README.md"].decode()
    assert "# Mine" in page and 'pc.from_hub("me/whole", network=MyNetwork())' in page and "speed, care" in page


def test_no_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'palora-core.hub.'"):
        pc.from_hub("me/mine")
