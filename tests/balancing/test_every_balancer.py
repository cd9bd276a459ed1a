"""What every registered balancer must do; a new one is tested by being registered."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from palora_core.balancing.base import Step, balancers
from palora_core.conditioning.base import Pass
from palora_core.conditioning.lowrank import LowRank
from palora_core.conditioning.unconditioned import Unconditioned
from palora_core.errors import UserError

CONDITIONINGS = {"plain": Unconditioned(), "lowrank": LowRank(rank=2)}


def preferences(conditioning, num_tasks, dtype=torch.float64):
    if not conditioning.controllable:
        return torch.full((1, num_tasks), 1 / num_tasks, dtype=dtype)
    rows = torch.linspace(0.2, 0.8, 3, dtype=dtype)
    return torch.stack([torch.cat([row[None], (1 - row).repeat(num_tasks - 1) / (num_tasks - 1)]) for row in rows])


def passed(loop, *arguments):
    """Run ``gradients``; some balancers need a conditioning of their own and say so."""
    try:
        return loop.gradients(*arguments)
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("num_tasks", [2, 3])
@pytest.mark.parametrize("kind", CONDITIONINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", balancers.names())
def test_one_step_gives_every_parameter_a_finite_gradient(loop, name, dtype, kind, num_tasks):
    run = loop(balancers.get(name)(), num_tasks, CONDITIONINGS[kind], dtype)
    passed(run, 0, preferences(CONDITIONINGS[kind], num_tasks, dtype))
    for parameter in [*run.model.parameters(), *run.balancer.parameters()]:
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    # B starts at 0, so A's gradient is 0; a corner of the simplex (MGDA, EPO) leaves a head without one.
    moved = [p for n, p in run.model.named_parameters() if "trunk" in n and "adapter_a" not in n]
    assert all(parameter.grad.abs().sum() > 0 for parameter in moved)


@pytest.mark.parametrize("kind", CONDITIONINGS)
@pytest.mark.parametrize("name", balancers.names())
def test_resume_in_the_middle_of_an_epoch_is_bit_identical(loop, name, kind):
    rows = preferences(CONDITIONINGS[kind], 3)
    whole = loop(balancers.get(name)(), 3, CONDITIONINGS[kind])
    passed(whole, 0, rows)
    whole = loop(balancers.get(name)(), 3, CONDITIONINGS[kind])
    whole.train(range(8), rows)
    first = loop(balancers.get(name)(), 3, CONDITIONINGS[kind])
    first.train(range(5), rows)
    file = first.saved()
    second = loop(balancers.get(name)(), 3, CONDITIONINGS[kind], seed=99)  # other weights and other random numbers
    second.load(file)
    second.train(range(5, 8), rows)
    for parameter, other in zip(whole.model.parameters(), second.model.parameters()):
        assert torch.equal(parameter, other)


@pytest.mark.parametrize("name", balancers.names())
def test_training_lowers_the_losses(loop, name):
    run = loop(balancers.get(name)(), 2)
    rows = preferences(Unconditioned(), 2)
    before = torch.stack(list(passed(run, 0, rows).losses)).sum()
    run.train(range(30), rows)
    assert torch.stack(list(run.gradients(0, rows).losses)).sum() < before


# EPO makes λ_t L_t equal: there λ speaks of losses, not of gradients.
STEERED = [name for name in balancers.names() if name != "epo"]


def share_of_first(loop, name, weight):
    """The first task's part of the weights at λ = (weight, 1 − weight), for two tasks with orthogonal gradients."""
    torch.manual_seed(0)
    run = loop(balancers.get(name)(), 2)
    preference = torch.tensor([weight, 1 - weight], dtype=torch.float64)
    leaf = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def losses():
        return [1 + leaf[0], 1 + leaf[1]]

    one = Pass(preference, lambda x: x, [leaf], [[], []])
    try:
        weights = run.balancer.backward(Step(losses(), one, run.model, None, losses, 0.01))
    except UserError as error:
        pytest.skip(str(error))
    if weights is None:
        pytest.skip(f"{name} has no task weights")
    return float(weights[0] / weights.abs().sum())


@pytest.mark.parametrize("name", STEERED)
def test_the_weight_of_a_task_grows_with_its_preference(loop, name):
    assert share_of_first(loop, name, 0.7) > share_of_first(loop, name, 0.3)


@pytest.mark.parametrize("name", ["imtl_g", "aligned_mtl", "upgrad"])
def test_without_torchjd_a_balancer_says_what_to_install(loop, monkeypatch, name):
    importlib.import_module("palora_core.balancing.torchjd_weightings")
    monkeypatch.setitem(sys.modules, "torchjd.aggregation", None)
    run = loop(balancers.get(name)(), 2)
    with pytest.raises(UserError, match="pip install"):
        run.gradients(0, preferences(Unconditioned(), 2))
