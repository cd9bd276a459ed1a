"""Runs of one problem are measured on the same items, and it is said where they are not."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.library import leaderboards
from app.library.common_items import measured_apart
from palora_core.data import ArraySplit
from palora_core.storage.samples import load_samples, save_samples
from tests.app.pages import open_on, texts


def split(shift: float = 0.0) -> ArraySplit:
    x = np.arange(60, dtype=np.float32).reshape(20, 3) + shift
    return ArraySplit(x, {"b": np.arange(20), "a": x[:, 0]})


@pytest.mark.parametrize("count", [4, 7, 12])
def test_what_nobody_chose_is_the_same_for_all_models_of_a_problem(tmp_path, count):
    torch.manual_seed(0)
    effects = [None, torch.rand(20), torch.arange(20.0), torch.zeros(20)]
    for number, effect in enumerate(effects):
        save_samples(tmp_path / f"{number}.npz", split(), count, effect)
    found = {load_samples(tmp_path / f"{number}.npz", None).digests(2) for number in range(len(effects))}
    assert len(found) == 1 and len(set(*found)) == 2, "whatever λ changes most"
    save_samples(tmp_path / "other.npz", split(0.5), count, effects[1])
    assert load_samples(tmp_path / "other.npz", None).digests(2) not in found


@pytest.fixture
def three(model_root, tmp_path, monkeypatch):
    from app import services

    for name in "abc":
        shutil.copytree(model_root / "two", tmp_path / "runs" / name)
        card = json.loads((tmp_path / "runs" / name / "card.json").read_text())
        card |= {"weights_sha256": name.encode().hex().ljust(64, "0"), "training": {"lr": 0.1 * ord(name)}}
        (tmp_path / "runs" / name / "card.json").write_text(json.dumps(card))
    monkeypatch.setenv("PALORA_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("PALORA_RUNS", str(tmp_path / "runs"))
    services.reset()
    yield services.services().registry, tmp_path / "runs"
    services.reset()


def test_a_run_on_other_items_is_named(three):
    registry, root = three
    (board, *_), _ = leaderboards.read(registry.entries())
    assert measured_apart(board.models, registry) == []
    arrays = dict(np.load(root / "b" / "samples.npz"))
    arrays["inputs"] = arrays["inputs"][::-1]
    np.savez_compressed(root / "b" / "samples.npz", **arrays)
    assert [one.id for one in measured_apart(board.models, registry)] == ["run:b"]
    app = open_on("compare")
    assert not app.exception and "was measured on other test items than the rest" in texts(app.warning)
    (root / "b" / "samples.npz").write_bytes(b"no samples")
    assert measured_apart(board.models, registry) == [], "nothing is said of what nobody knows"


def test_another_number_of_items_is_another_split(three):
    registry, _ = three
    (board, *_), _ = leaderboards.read(registry.entries())
    first, *others = board.models
    more = replace(first, front=replace(first.front, about={**first.front.about, "items": 99}))
    assert measured_apart([more, *others], registry) == [more]
