"""Targets that a network cannot be trained on are refused in one sentence, wherever they meet it."""

from __future__ import annotations

import pytest
import torch

from palora_core.data import ArraySplit
from palora_core.errors import UserError
from palora_core.evaluation.evaluate import evaluate
from palora_core.problem import NamedNetwork, Problem
from palora_core.training.feed import Feed
from palora_core.training.setup import configure


def split_of(label: int, items: int = 8) -> ArraySplit:
    """Items that have the labels 3 and ``label``."""
    labels = {"top_left": torch.full((items,), 3), "bottom_right": torch.full((items,), label)}
    return ArraySplit(torch.rand(items, 1, 28, 28), labels)


def feed_of(train: ArraySplit, val: ArraySplit, device: str) -> Feed:
    bench, _, options = configure("multimnist", "auto_lambda", {"epochs": 1, "batch_size": 8})
    problem = Problem(NamedNetwork(*bench.network), bench.tasks, train, val)
    return Feed(problem, options, torch.device(device))


def test_what_goes_to_a_gpu_is_looked_at_before():
    good, bad = split_of(4), split_of(255)
    with pytest.raises(UserError, match=r"'bottom_right'.*label 255;.*ignore_index -1"):
        feed_of(bad, good, "meta")._made(0)
    with pytest.raises(UserError, match=r"'bottom_right'.*label 255"):
        feed_of(good, bad, "meta").held_out(1)
    feed_of(good, good, "meta")._made(0)


def test_what_is_evaluated_is_looked_at_before():
    bench, method, _ = configure("multimnist", "palora", {})
    from palora_core.networks.base import networks

    network, options = bench.network
    model = method.conditioning.condition(networks.get(network)(**options), 2).eval()
    with pytest.raises(UserError, match=r"'bottom_right'.*label 255"):
        evaluate(model, split_of(255), bench.tasks, bench.reference)
