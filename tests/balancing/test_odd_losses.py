"""Every balancer on losses of exactly zero, below zero and beyond all proportion: right, or a sentence.

A task without a valid element in a batch has the loss 0 and a gradient of 0: for that pass it counts as absent.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from palora_core.balancing.base import Balancer, Step, balancers
from palora_core.balancing.linear import FullyNormalised, GradientNormalised, LossNormalised
from palora_core.balancing.losses import LossBalancer
from palora_core.conditioning.base import Pass
from palora_core.conditioning.rotations import Rotations
from palora_core.errors import UserError

EVERY = list(balancers.names())
# What these make of the losses has no meaning below zero.
POSITIVE_ONLY = {
    *("si", "gls", "uw", "imtl_l", "dwa", "famo", "loss_normalised", "fully_normalised", "gradnorm", "epo"),
    *("db_mtl", "moco", "pbi"),
}


def run_of(loop, name: str, num_tasks: int, dtype=torch.float64, **options):
    rotations = Rotations() if name == "rotograd" else None
    return loop(balancers.get(name)(**options), num_tasks, rotations, dtype)


def centre(num_tasks: int, dtype=torch.float64) -> Tensor:
    return torch.full((1, num_tasks), 1 / num_tasks, dtype=dtype)


def assert_finite(run) -> None:
    def numbers(value) -> list[float]:
        if isinstance(value, Tensor):
            return value.double().flatten().tolist()
        if isinstance(value, dict | list | tuple):
            return [n for item in (value.values() if isinstance(value, dict) else value) for n in numbers(item)]
        return [float(value)] if isinstance(value, int | float) else []

    assert all(map(math.isfinite, numbers([run.model.state_dict(), run.balancer.state_dict()])))


def silenced(*tasks: int, steps=None):
    """The losses, those of ``tasks`` as batches without a valid element give them (in ``steps``, by default all)."""

    def adjust(losses: list[Tensor], number: int) -> list[Tensor]:
        gone = tasks if steps is None or number in steps else ()
        return [loss * 0 if task in gone else loss for task, loss in enumerate(losses)]

    return adjust


def total(run) -> float:
    """The sum of the first two losses at step 0's data."""
    x, targets = run.data(0)
    from tests.balancing.conftest import losses_of

    with torch.no_grad():
        return float(sum(losses_of(run.model(x, centre(run.num_tasks)[0]), run.num_tasks, targets)[:2]))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("steps", [None, (0,), (0, 1, 2, 3), (3, 4), (1, 3, 5)])
def test_the_other_tasks_learn_where_one_has_nothing_to_say(loop, name, steps):
    run = run_of(loop, name, 3)
    run.adjust = silenced(2, steps=steps)
    before = total(run)
    run.train(range(40), centre(3))
    assert_finite(run)
    assert total(run) < before - 0.05


@pytest.mark.parametrize("name", EVERY)
def test_where_no_task_has_anything_to_say_nothing_moves_by_itself(loop, name):
    run = run_of(loop, name, 2)
    run.adjust = silenced(0, 1, steps=range(3))
    run.train(range(3), centre(2))
    assert_finite(run)
    run.train(range(3, 6), centre(2))
    assert_finite(run)


# λ weighs these sums; what is left of the sum for one task is λ_t (or T·λ_t) of it, whatever else was there.
ANOTHER_BATCH = ("auto_lambda", "modo", "sdmgrad")
ALONE = [name for name in EVERY if name not in ("rlw", "rotograd", "graddrop", "nash_mtl", "cosmos", *ANOTHER_BATCH)]


@pytest.mark.parametrize("name", ALONE)
def test_the_gradient_points_as_without_the_silent_task(loop, name):
    """With one silent task of three, the direction is that of the two others alone, at their λ."""
    directions = []
    for silent in (True, False):
        torch.manual_seed(0)
        balancer: Balancer = balancers.get(name)()
        num_tasks = 3 if silent else 2
        balancer.setup(num_tasks)
        rows = torch.tensor([[1.0, 0.2, 0.0], [-0.3, 2.0, 0.5]], dtype=torch.float64)
        leaf = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        losses = [0.7 + rows[0] @ leaf, 0.4 + rows[1] @ leaf] + [(leaf * 0).sum()] * silent
        preference = torch.full((num_tasks,), 1 / 3, dtype=torch.float64)
        one = Pass(preference, lambda x: x, [leaf], [[] for _ in losses])
        balancer.backward(Step(losses, one, None))  # type: ignore[arg-type]
        directions.append(leaf.grad / leaf.grad.norm())
    torch.testing.assert_close(*directions, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_negative_losses_are_right_or_refused_with_the_tasks_name(loop, name):
    run = run_of(loop, name, 2)
    run.adjust = lambda losses, number: [losses[0], losses[1] - 9]
    if name in POSITIVE_ONLY:
        with pytest.raises(UserError, match=r"defined for losses of at least 0, and that of task 'task1' is -"):
            run.train(range(6), centre(2))
        return
    before = total(run)
    run.train(range(30), centre(2))
    assert_finite(run)
    assert total(run) < before


def test_famo_knows_its_minimum(loop):
    run = run_of(loop, "famo", 2, minimum=-10.0)
    run.adjust = lambda losses, number: [losses[0], losses[1] - 9]
    before = total(run)
    run.train(range(30), centre(2))
    assert total(run) < before


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("size", [1e-30, 1e10, 1e30])
def test_losses_out_of_proportion_leave_no_nan_behind(loop, name, size):
    """In single precision: finite, or a FloatingPointError, of which the trainer makes a sentence with the losses."""
    run = run_of(loop, name, 2, torch.float32)
    run.adjust = lambda losses, number: [losses[0], losses[1] * size]
    before = {key: value.clone() for key, value in run.model.state_dict().items()}
    try:
        run.train(range(4), centre(2, torch.float32))
    except FloatingPointError:
        assert size > 1
        assert all(torch.equal(value, before[key]) for key, value in run.model.state_dict().items())
        return
    assert_finite(run)


@pytest.mark.parametrize("window", [0, 2])
@pytest.mark.parametrize("silent", [(0,), (0, 1), (2,), (2, 3), (0, 1, 2, 3)])
def test_dwa_leaves_a_silent_task_where_it_was(loop, window, silent):
    run = run_of(loop, "dwa", 2, window=window)
    run.adjust = silenced(1, steps=silent)
    for number in range(8):
        run.train(range(number, number + 1), centre(2))
        weights = run.balancer._weights(2)
        assert torch.isfinite(weights).all() and float(weights.sum()) == pytest.approx(2)
        assert 0.5 < float(weights[1]) < 1.5


def test_learnt_scales_do_not_move_while_their_task_is_silent(loop):
    for name in ("uw", "imtl_l"):
        run = run_of(loop, name, 2)
        run.adjust = silenced(1)
        run.train(range(10), centre(2))
        scales = run.balancer.scales.tolist()
        assert scales[1] == 0 != scales[0]


def test_norms_of_a_task_that_was_not_there_are_not_used_for_a_pass_in_which_it_is(loop):
    """λ/(0 + ξ) would be a thousand times λ."""
    for name in ("gradient_normalised_centre", "gradient_normalised_last"):
        run, exact = run_of(loop, name, 2), run_of(loop, "gradient_normalised", 2)
        for one in (run, exact):
            one.adjust = silenced(1, steps=(0, 1))
            for number in range(3):
                one.gradients(number, centre(2))
        ours, theirs = ([p.grad for p in one.model.parameters()] for one in (run, exact))
        for own, other in zip(ours, theirs):
            torch.testing.assert_close(own, other, rtol=0.3, atol=1e-3)


def test_every_loss_balancer_says_from_where_it_is_defined():
    bounded = {
        name for name in EVERY if issubclass(balancers.get(name), LossBalancer) and balancers.get(name).least == 0
    }
    others = {"famo", "loss_normalised", "fully_normalised", "gradnorm", "epo", "db_mtl", "moco", "pbi"}
    assert bounded | others == POSITIVE_ONLY
    assert issubclass(FullyNormalised, GradientNormalised) and not issubclass(LossNormalised, LossBalancer)
