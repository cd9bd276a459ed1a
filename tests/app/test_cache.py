"""What is kept in memory is bounded by the bytes that it really takes."""

import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
import torch

from app.pictures.scenes import Encoded
from app.serving.cache import ENTRY_BYTES, ByteCache, weigh
from app.serving.stage import Stage
from tests.app.test_inference import answer, request


def small(capacity: int) -> ByteCache[bytes]:
    return ByteCache(capacity, len)


def cost(key: str, value: bytes) -> int:
    return ENTRY_BYTES + weigh(key) + len(value)


def test_bounded_and_keeps_what_was_used_last():
    one = cost("a", b"x" * 40)
    cache = small(2 * one + 20)
    for key in "abc":
        cache.put(key, b"x" * 40)
    assert cache.get("a") is None and cache.get("b") and cache.used == 2 * one
    cache.put("d", b"x" * 40)
    assert "b" in cache and "c" not in cache
    cache.put("b", b"x" * 10)
    assert cache.used == 2 * one - 30
    cache.put("huge", b"x" * 5000)
    assert len(cache) == 1 and cache.used == cost("huge", b"x" * 5000)


@pytest.mark.parametrize("seed", range(5))
def test_used_is_the_sum_of_what_is_there(seed):
    rng = np.random.default_rng(seed)
    cache, there = small(20_000), {}
    for _ in range(2000):
        key, value = str(rng.integers(60)) * int(rng.integers(1, 30)), bytes(int(rng.integers(0, 900)))
        cache.put(key, value)
        there[key] = value
        there = {key: value for key, value in there.items() if key in cache}
        assert cache.used == sum(cost(*item) for item in there.items()) <= 20_000


def answers(count: int) -> list[tuple[tuple, Encoded]]:
    """Answers with nothing in common: as if read from JSON, so that every key and number is an object of its own."""
    found = []
    for index in range(count):
        pictures = [
            {"view": "prediction", "task": f"t{i}", "width": 128, "height": 96, "colours": 13} for i in range(3)
        ]
        header = {"type": "prediction", "metrics": {f"t{i}": {"mIoU": index / 7, "accuracy": 0.5} for i in range(3)}}
        header = json.loads(json.dumps({**header, "values": {}, "pictures": pictures, "preference": [0.25, 0.75]}))
        blobs = tuple(bytes(400 + 7 * i + index % 50) for i in range(3))
        key = (f"two@{index:032d}", f"sample-{index}", (index / 3, 1 - index / 3), ("a" * (index % 180 + 1),))
        found.append((key, Encoded(header, blobs)))
    return found


def test_the_count_is_not_below_what_is_taken():
    answers(5)
    tracemalloc.start()
    try:
        cache: ByteCache[Encoded] = ByteCache(1 << 30)
        before = tracemalloc.get_traced_memory()[0]
        for key, value in answers(1500):
            cache.put(key, value)
        del key, value
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= cache.used <= 1.5 * taken, (taken, cache.used)


@dataclasses.dataclass
class Held:
    array: np.ndarray


@pytest.mark.parametrize(
    ("value", "least"),
    [
        (torch.zeros(1000), 4000),
        (torch.zeros(1000)[:2], 4000),
        (np.zeros(1000), 8000),
        (np.zeros((10, 100)).T, 8000),
        (Held(np.zeros(1000)), 8000),
        ({"x" * 1000: [b"y" * 500]}, 1500),
        ((("z" * 700,),), 700),
    ],
)
def test_what_is_held_counts(value, least):
    assert least <= weigh(value) <= least + 1500


def test_made_up_names_and_other_spellings_are_one_answer(roots):
    roots.inference._worker._idle = None
    plain, pictures = answer(roots, request(exact=True))
    before = roots.inference.answers.used
    for index in range(200):
        made_up = tuple(f"{index}_{i}" + "e" * 150 for i in range(80))
        header, blobs = answer(roots, request(exact=True, errors=made_up))
        assert blobs == pictures and header["pictures"] == plain["pictures"]
    assert roots.inference.answers.used == before and len(roots.inference.answers) == 1
    first, _ = answer(roots, request(exact=True, errors=("depth", "segmentation", "depth")))
    used = roots.inference.answers.used
    again, _ = answer(roots, request(exact=True, errors=("x", "segmentation", "depth")))
    assert [p["view"] for p in first["pictures"]] == ["error", "error"] == [p["view"] for p in again["pictures"]]
    assert roots.inference.answers.used == used and len(roots.inference.answers) == 2
    assert all(view.errors in ((), ("segmentation", "depth")) for view in roots.inference._views.values())


def test_scenes_are_bounded_and_go_with_their_model(roots, monkeypatch):
    monkeypatch.setattr("app.serving.inference.KEPT_STAGES", 1)
    monkeypatch.setattr("app.serving.stage.SCENE_BYTES", 200_000)
    roots.inference._worker._idle = None
    stage = Stage(roots.registry.get("two"), roots.uploads)
    for index in range(4):
        stage.scene(f"sample-{index}")
    assert 0 < stage._scenes.used <= 200_000 and len(stage._scenes) < 4
    for model in ("two", "digits", "seven"):
        tasks = roots.registry.get(model).num_tasks
        answer(roots, request(model, preference=(1 / tasks,) * tasks))
        assert list(roots.inference._stages) == [roots.registry.get(model).key]
