"""The commands of docs/howto/gpu-tables.md: every option exists for every method, and the network is the paper's."""

import re
import shlex
from pathlib import Path

import pytest

from palora_core.networks.base import networks
from palora_core.training.setup import configure

TEXT = (Path(__file__).parent.parent / "docs/howto/gpu-tables.md").read_text()
BLOCKS = [block.replace("\\\n", " ") for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)]
COMMANDS = [shlex.split(block) for block in BLOCKS if "…" not in block]
WANTED = {"stl", "ls", "uw", "mgda", "pcgrad", "cagrad", "nash_mtl", "imtl_g", "pamal", "cosmos", "palora"}
SIZES = {"streets": 25_017_672, "rooms": 25_055_185, "cityscapes": 25_017_672}


def after(words: list[str], flag: str) -> list[str]:
    """The values of a flag that takes several."""
    rest = words[words.index(flag) + 1 :]
    end = next((i for i, word in enumerate(rest) if word.startswith("--")), len(rest))
    return rest[:end]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[2])
def test_every_command_names_known_methods_and_options(words):
    assert words[:2] == ["python", "scripts/reproduce.py"]
    assert set(after(words, "--methods")) == WANTED
    settings = dict(words[i + 1].split("=") for i, word in enumerate(words) if word == "--set")
    for method in WANTED:
        bench, _, options = configure(words[2], method, settings)
    if settings.get("width") != "0.0625":
        import torch

        name, network_options = bench.network
        with torch.device("meta"):
            network = networks.get(name)(**network_options)
        assert sum(p.numel() for p in network.parameters()) == SIZES[words[2]]
        assert (options.batch_size, options.lr) == ((2 if words[2] == "rooms" else 8), 1e-4)


def test_there_is_a_command_for_each_table():
    assert [words[2] for words in COMMANDS] == ["streets", "rooms", "cityscapes", "streets"]
