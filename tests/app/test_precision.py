"""The number format a model is served in: exact at first, faster only where the pictures agree."""

import pytest
import torch

from app.serving import precision
from app.serving.precision import ServedNetwork
from palora_core.tasks import base, segmentation
from tests.app.test_inference import answer, request


def searched(loaded, monkeypatch, seconds):
    """The served network after its search; ``seconds(network)`` stands for the clock."""
    monkeypatch.setattr(precision, "has_fast_bf16", lambda device: True)

    def timed(network, *_):
        yield True
        return seconds(network)

    monkeypatch.setattr(precision, "_seconds", timed)
    served = ServedNetwork(loaded, loaded.example)
    assert served.format == "fp32", "what is served at once is exact"
    steps = 0
    while served.improve():
        steps += 1
    assert steps < 60 and not served.improve()
    return served


@pytest.fixture
def lenient(monkeypatch):
    """The toys are hardly trained: many of their labels are near to a tie."""
    monkeypatch.setattr(segmentation, "LABELS_AGREE", 0.9)
    monkeypatch.setattr(base, "VALUES_AGREE", 0.1)


def agreement(loaded, network):
    preference = torch.full((loaded.num_tasks,), 1 / loaded.num_tasks)
    found = network(loaded.example, preference)["segmentation"]
    with torch.no_grad():
        wanted = loaded.model(loaded.example, preference)["segmentation"]
    return float((found.argmax(1) == wanted.argmax(1)).float().mean())


def test_a_faster_format_is_taken_where_pictures_agree(roots, monkeypatch, lenient):
    loaded = roots.registry.get("two")
    served = searched(loaded, monkeypatch, lambda network: 1.0 if network.dtype == torch.float32 else 0.3)
    assert served.network.dtype == torch.bfloat16 and served.format.startswith("bf16")
    assert agreement(loaded, served.network) >= 0.9


def test_a_format_that_is_not_faster_is_not_taken(roots, monkeypatch):
    served = searched(roots.registry.get("two"), monkeypatch, lambda network: 1.0)
    assert served.format == "fp32"


def test_pictures_that_differ_keep_a_model_exact(roots, monkeypatch):
    monkeypatch.setattr(precision, "_agree", lambda *_: False)
    served = searched(roots.registry.get("two"), monkeypatch, lambda network: 0.1)
    assert served.format == "fp32"


def test_more_layers_stay_exact_until_pictures_agree(roots, monkeypatch, lenient):
    asked = []
    honest = precision._agree

    def strict(task, first, second):
        asked.append(task.name)
        return len(asked) > 3 and honest(task, first, second)

    monkeypatch.setattr(precision, "_agree", strict)
    served = searched(
        roots.registry.get("two"), monkeypatch, lambda network: 1.0 if network.dtype == torch.float32 else 0.3
    )
    assert served.network.exact > 0 and f"first {served.network.exact} layers" in served.format


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_overflow_is_not_agreement(roots, bad):
    task = roots.registry.get("two").tasks[0]
    found = torch.randn(1, task.out_channels, 4, 4)
    assert precision._agree(task, found, found) and not precision._agree(task, found, found.clone().fill_(bad))


def test_the_answer_says_its_format(roots, monkeypatch, lenient):
    monkeypatch.setattr(precision, "has_fast_bf16", lambda device: True)
    roots.inference._worker._idle = None  # no search meanwhile
    header, _ = answer(roots, request())
    assert header["precision"] == "fp32", "what is served at once is exact"
    served = next(iter(roots.inference._stages.values())).served
    served.network = served.network.in_format(torch.bfloat16, 1)
    header, _ = answer(roots, request(preference=(0.6, 0.4)))
    assert header["precision"] == "bf16, first 1 layers fp32"
