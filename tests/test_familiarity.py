"""Familiarity: false alarms come as often as is said, another world is told, what cannot be measured is silent."""

import numpy as np
import pytest
import torch

from palora_core.data import ArraySplit
from palora_core.errors import UserError
from palora_core.evaluation.familiarity import QUANTILE, Familiarity, described_items, familiarity, features


def pictures(count: int, seed: int, level: float = 0.5) -> torch.Tensor:
    """Smooth pictures [N, 3, 24, 32] around a grey."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(count, 3, 4, 5, generator=generator) * 0.15 + level
    noise = 0.01 * torch.randn(count, 3, 24, 32, generator=generator)
    return torch.nn.functional.interpolate(small, (24, 32), mode="bilinear") + noise


def split(x) -> ArraySplit:
    return ArraySplit(x, torch.zeros(len(x)))


@pytest.fixture(scope="module")
def known() -> Familiarity:
    found = familiarity(split(pictures(600, 0)), split(pictures(300, 1)), split(pictures(300, 2)))
    assert found is not None
    return found


def test_false_alarms_come_as_often_as_is_said(known):
    assert known.items == (600, 300, 300)
    assert known.false_alarms < 0.04
    again = known.distances(pictures(600, 3))
    assert (again > known.threshold).mean() == pytest.approx(1 - QUANTILE, abs=0.025)


@pytest.mark.parametrize(
    "other",
    [
        torch.rand(40, 3, 24, 32),
        torch.zeros(40, 3, 24, 32),
        pictures(40, 4, level=2.5),
        pictures(40, 4)[:, :, :, torch.randperm(32, generator=torch.Generator().manual_seed(0))],
    ],
    ids=["noise", "black", "brighter", "shuffled"],
)
def test_another_world_is_told(known, other):
    far = known.distances(other)
    assert (far > known.threshold).mean() > 0.95
    said = known.sentence(other[:1])
    assert said.startswith("It is unlike the training data") and "% of 300 tests" in said


def test_a_familiar_one_is_not_warned_of(known):
    quiet = [known.sentence(one[None]) == "" for one in pictures(50, 5)]
    assert np.mean(quiet) > 0.9


def test_rows_and_sequences_are_measured_and_ids_are_not(known):
    rows = torch.randn(100, 7)
    assert features(rows).shape == (100, 7) and features(torch.randn(5, 2, 400)).shape[0] == 5
    assert features({"ids": torch.ones(4, 9, dtype=torch.long)}) is None and features(torch.randn(3, 400)) is None
    assert known.distances(rows) is None and known.sentence(rows) == "", "inputs of another form are not judged"
    made = familiarity(split(rows), split(torch.randn(60, 7)), split(torch.randn(60, 7)))
    assert made is not None and made.sentence(torch.full((1, 7), 9.0))


def test_too_few_items_say_nothing():
    assert familiarity(split(pictures(30, 0)), split(pictures(5, 1)), split(pictures(30, 2))) is None
    assert described_items(split(pictures(0, 0)), 10) is None


def test_items_are_taken_from_all_over():
    x = torch.arange(1000.0)[:, None].expand(-1, 3)
    found = described_items(split(x), 11)
    assert found[:, 0].tolist() == pytest.approx([0, 100, 200, 300, 400, 500, 599, 699, 799, 899, 999], abs=1)


def test_it_is_kept_and_damage_is_refused(known, tmp_path):
    path = tmp_path / "familiarity.npz"
    known.save(path)
    again = Familiarity.load(path)
    x = pictures(5, 6)
    assert np.array_equal(again.distances(x), known.distances(x)) and again.items == known.items
    np.savez(path, mean=known.mean, factor=known.factor[:3], numbers=np.ones(6))
    with pytest.raises(UserError, match=r"not what this program writes"):
        Familiarity.load(path)
    np.savez(path, mean=known.mean)
    with pytest.raises(UserError, match=r"lacks what it must have"):
        Familiarity.load(path)
