"""Auto-λ's meta-gradient against autograd through the look-ahead step."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from palora_core.balancing.auto_lambda import AutoLambda
from palora_core.balancing.base import Step
from palora_core.errors import UserError


@pytest.mark.parametrize("num_tasks", [2, 3])
def test_meta_gradient_is_that_of_the_unrolled_step(loop, num_tasks):
    run = loop(AutoLambda(), num_tasks)
    x, targets = run.data(0)
    held_x, held_targets = run.data(1)
    preference = torch.arange(1, num_tasks + 1).double() / sum(range(1, num_tasks + 1))
    scale, lr = preference * num_tasks, 0.3

    def losses_of(outputs, wanted):
        return [(outputs[f"task{t}"] - wanted[t]).square().mean() for t in range(num_tasks)]

    network = run.model.network
    parameters = dict(network.named_parameters())
    weights = torch.full((num_tasks,), 0.1).double().requires_grad_()  # kept in float32
    train = losses_of(functional_call(network, parameters, (x,)), targets)
    total = sum(s * w * loss for s, w, loss in zip(scale, weights, train))
    moved = torch.autograd.grad(total, list(parameters.values()), create_graph=True)
    ahead = {name: p - lr * g for (name, p), g in zip(parameters.items(), moved)}
    held = losses_of(functional_call(network, ahead, (held_x,)), held_targets)
    (expected,) = torch.autograd.grad(sum(s * loss for s, loss in zip(scale, held)), weights)

    before = [p.detach().clone() for p in run.model.parameters()]
    with run.model.accumulate() as at:
        one = at(preference)
        step = Step(losses_of(one.forward(x), targets), one, run.model, None, None, lr)
        step.held_out = lambda: losses_of(one.forward(held_x), held_targets)
        shared, specific = step.task_gradients()
        found = run.balancer.meta_gradient(step, shared, specific, scale)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-12)
    assert all(torch.equal(p, q) for p, q in zip(run.model.parameters(), before))


def test_weights_move_towards_what_helps_held_out_data(loop):
    run = loop(AutoLambda(weights_lr=0.01), 2)
    step = run.gradients(0, torch.full((1, 2), 0.5).double())
    assert run.balancer.vector.values.min() > 0.1  # more of both tasks lowers the held-out losses of both
    assert step.held_out is not None


def test_it_asks_for_held_out_data(loop):
    run = loop(AutoLambda(), 2)
    x, _ = run.data(0)
    one = run.model.plain_pass(torch.tensor([0.5, 0.5]))
    losses = [output.square().mean() for output in one.forward(x).values()]
    with pytest.raises(UserError, match="held-out"):
        run.balancer.backward(Step(losses, one, run.model))
