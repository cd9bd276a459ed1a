"""Batches made ahead: the same ones, at other times."""

import threading

import pytest
import torch

from palora_core.errors import UserError
from palora_core.training.prefetch import Prefetcher


def recorder(calls):
    def make(step):
        calls.append((step, threading.current_thread().name.startswith("prefetch")))
        if step == 7:
            raise UserError("Shard 7 is missing.")
        return torch.full((2,), float(step)), {"a": torch.full((2,), -step)}

    return make


def test_the_next_batch_is_made_in_a_thread_and_each_is_made_once():
    calls = []
    prefetch = Prefetcher(recorder(calls), 5, torch.device("meta"))
    for step in range(5):
        x, targets = prefetch(step)
        assert x.tolist() == [step] * 2
        assert targets["a"].tolist() == [-step] * 2
    assert sorted(calls) == [(0, False), *((step, True) for step in range(1, 5))]


def test_a_step_out_of_order_is_made_at_once():
    calls = []
    prefetch = Prefetcher(recorder(calls), 7, torch.device("meta"))
    assert prefetch(0)[0][0] == 0
    assert prefetch(4)[0][0] == 4
    assert prefetch(5)[0][0] == 5
    assert (4, False) in calls
    assert (5, True) in calls


def test_a_cpu_has_nothing_to_hide_it_behind():
    calls = []
    prefetch = Prefetcher(recorder(calls), 5, torch.device("cpu"))
    assert [prefetch(step)[0][0].item() for step in (0, 1)] == [0, 1]
    assert calls == [(0, False), (1, False)]


def test_a_problem_is_raised_where_its_batch_is_asked_for():
    prefetch = Prefetcher(recorder([]), 10, torch.device("meta"))
    prefetch(6)
    with pytest.raises(UserError, match=r"Shard 7"):
        prefetch(7)
    assert prefetch(8)[0][0] == 8


def test_training_with_batches_made_ahead_ends_with_the_same_weights(tmp_path):
    from palora_core.storage.runs import Run
    from palora_core.training.setup import configure
    from palora_core.training.trainer import Trainer

    weights = []
    for ahead in (False, True):
        settings = {"epochs": 2, "batch_size": 32, "train_images": 96, "test_images": 8, "evaluate_every": 0}
        bench, method, options = configure("multimnist", "palora", {**settings, "front_points": 2})
        trainer = Trainer(Run(tmp_path / str(ahead)), bench.problem(tmp_path), method, options, device="cpu")
        trainer.feed.prefetcher.ahead = ahead
        trainer.start()
        weights.append(trainer.model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(weights[0].values(), weights[1].values(), strict=True))
