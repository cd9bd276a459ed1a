"""Gaps between groups: exact over a split, however it is cut; differentiable in a batch; refusals by name."""

import math

import numpy as np
import pytest
import torch

from palora_core.errors import UserError
from palora_core.objectives.gaps import RateGap
from palora_core.tasks import Classification

TASK = Classification("hired", 2)


def rows(seed: int, count: int = 97):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(count, 2)) * 2).float()
    return logits, torch.from_numpy(rng.integers(0, 2, count)), torch.from_numpy(rng.random(count) < 0.3)


def batch_of(labels, group):
    return None, {"hired": labels, "group": group}


def by_hand(logits, labels, group, positives, sharpness):
    """(gap of probabilities, gap of decisions in points), in numpy and double precision."""
    z, y, g = logits.double().numpy(), labels.numpy(), group.numpy().astype(bool)
    ahead = z[:, 1] - z[:, 0]
    counted = y == 1 if positives else np.full(len(y), True)
    p = 1 / (1 + np.exp(-sharpness * ahead))
    soft = p[counted & g].mean() - p[counted & ~g].mean()
    hard = (ahead[counted & g] > 0).mean() - (ahead[counted & ~g] > 0).mean()
    return abs(soft), 100 * abs(hard)


@pytest.mark.parametrize("sizes", [[97], [40, 57], [1] * 97, [96, 1]])
@pytest.mark.parametrize("positives", [False, True])
@pytest.mark.parametrize(("sharpness", "floor"), [(1.0, 0.0), (3.0, 0.0), (1.0, 0.2)])
def test_a_split_has_the_gap_of_all_its_rows_however_it_is_cut(sizes, positives, sharpness, floor):
    logits, labels, group = rows(0)
    one = RateGap("equal", TASK, "group", positives, sharpness, floor=floor)
    first, second = one.accumulator(), one.accumulator()
    for number, part in enumerate(torch.arange(97).split(sizes)):
        (first if number % 2 else second).update({"hired": logits[part]}, batch_of(labels[part], group[part]))
    second.merge(first)
    found = second.compute()
    soft, hard = by_hand(logits, labels, group, positives, sharpness)
    entropy = float(torch.nn.functional.cross_entropy(logits.double(), labels))
    assert found["loss"] == pytest.approx(soft + floor * entropy, rel=1e-5)
    assert found["gap"] == pytest.approx(hard, rel=1e-9)


@pytest.mark.parametrize("positives", [False, True])
def test_what_is_trained_is_the_batchs_own_gap(positives):
    logits, labels, group = rows(1)
    one = RateGap("equal", TASK, "group", positives, 2.0)
    logits.requires_grad_()
    loss = one.loss({"hired": logits}, batch_of(labels, group.long()))
    assert float(loss.detach()) == pytest.approx(by_hand(logits.detach(), labels, group, positives, 2.0)[0], rel=1e-5)
    loss.backward()
    silent = (labels == 0) if positives else torch.zeros(97, dtype=torch.bool)
    assert (logits.grad[silent] == 0).all() and (logits.grad[~silent] != 0).any()
    moved = logits.detach() - 5 * logits.grad
    assert by_hand(moved, labels, group, positives, 2.0)[0] < float(loss.detach())


def test_with_great_sharpness_probabilities_are_decisions():
    logits, labels, group = rows(2)
    found = RateGap("equal", TASK, "group", sharpness=1000.0).loss({"hired": logits}, batch_of(labels, group))
    assert 100 * float(found) == pytest.approx(by_hand(logits, labels, group, False, 1.0)[1], abs=1.0)


@pytest.mark.parametrize("group", [torch.zeros(5), torch.ones(5)])
def test_a_batch_without_one_of_the_groups_says_nothing_and_a_split_without_one_has_no_gap(group):
    logits, labels = torch.randn(5, 2, requires_grad=True), torch.ones(5).long()
    one = RateGap("equal", TASK, "group")
    loss = one.loss({"hired": logits}, batch_of(labels, group))
    loss.backward()
    assert float(loss.detach()) == 0 and (logits.grad == 0).all()
    accumulator = one.accumulator()
    accumulator.update({"hired": logits}, batch_of(labels, group))
    assert all(math.isnan(value) for value in accumulator.compute().values())


def test_rates_of_the_groups_are_told_by_their_names():
    logits, labels, group = rows(7)
    one = RateGap("equal", TASK, "group", True, groups=("men", "women"))
    yes, counted = logits.argmax(1) == 1, labels == 1
    for name, member in (("men", group), ("women", ~group)):
        own = counted & member
        rate, number = one.rates({"hired": logits}, batch_of(labels, group))[name]
        assert (rate, number) == (pytest.approx(float(yes[own].double().mean())), int(own.sum()))


def test_small_gaps_count_quadratically_and_great_ones_as_they_are():
    logits, labels, group = rows(6)
    gap = by_hand(logits, labels, group, False, 1.0)[0]
    for width in (1e-3, 0.05, 5.0):
        one = RateGap("equal", TASK, "group", width=width)
        found = float(one.loss({"hired": logits}, batch_of(labels, group)))
        assert found == pytest.approx(math.hypot(gap, width) - width, rel=1e-3)
        accumulator = one.accumulator()
        accumulator.update({"hired": logits}, batch_of(labels, group))
        assert accumulator.compute()["loss"] == pytest.approx(found, rel=1e-3)
    level = torch.zeros(4, 2, requires_grad=True)  # equal to begin with: the gradient is 0, not NaN
    RateGap("equal", TASK, "group", width=0.1).loss(
        {"hired": level}, batch_of(torch.ones(4).long(), torch.tensor([0, 1, 0, 1]))
    ).backward()
    assert (level.grad == 0).all()


def test_the_floor_keeps_one_answer_for_everybody_from_being_best():
    logits, labels, group = rows(3)
    same = torch.zeros_like(logits)
    good = torch.stack([-labels, labels], 1).float() * 8  # right for all, with the gap that the labels have
    bare, held = (RateGap("equal", TASK, "group", floor=floor) for floor in (0.0, 2.0))
    for one, best in ((bare, same), (held, good)):
        losses = {id(z): float(one.loss({"hired": z}, batch_of(labels, group))) for z in (same, good)}
        assert min(losses, key=losses.__getitem__) == id(best)


def test_the_losses_of_several_preferences_at_once_are_those_one_by_one():
    logits, labels, group = rows(4)
    many = torch.stack([logits, -logits, logits * 3])
    one = RateGap("equal", TASK, "group", True, 1.0, 0.02, 0.1)
    together = torch.vmap(lambda z: one.loss({"hired": z}, batch_of(labels, group)))(many)
    apart = torch.stack([one.loss({"hired": z}, batch_of(labels, group)) for z in many])
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (torch.randn(4, 3), {}, r"logits \[B, 2\] for no and yes, found \[4, 3\]"),
        (torch.randn(4, 2), {"group": None}, "'equal' reads the target 'group' for the group"),
        (torch.randn(4, 2), {"group": torch.tensor([0, 1, 2, 0])}, "expected 0 or 1 for each row"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(outputs, targets, message):
    one = RateGap("equal", TASK, "group")
    batch = None, {"hired": torch.ones(4).long(), "group": torch.tensor([0, 1, 0, 1]), **targets}
    with pytest.raises(UserError, match=message):
        _ = one.check(batch), one.loss({"hired": outputs}, batch)


@pytest.mark.parametrize(
    ("option", "value"), [("sharpness", 0.0), ("floor", -1.0), ("sharpness", math.inf), ("width", -0.1)]
)
def test_options_have_ranges(option, value):
    with pytest.raises(UserError, match=option):
        RateGap("equal", TASK, "group", **{option: value})
