"""Gradient and loss normalisation against their plain formulas, on a PaLoRA LeNet; the error of the cheap norms."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from palora_core.balancing.base import Step, balancers
from palora_core.conditioning.lowrank import LowRank
from palora_core.networks.lenet import lenet

XI = 1e-3
ROWS = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], dtype=torch.float64)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = LowRank(rank=2).condition(lenet({"left": 10, "right": 10}), 2).double()
    for layer in model.layers:  # away from the start, where B = 0
        torch.nn.init.normal_(layer.adapter_b, std=0.1)
    return model


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(6, 1, 28, 28, generator=generator).double(), torch.randint(0, 10, (2, 6), generator=generator)


def losses_of(outputs, targets):
    return [F.cross_entropy(outputs[name], y) for name, y in zip(("left", "right"), targets)]


def accumulated(model, batch, balancer, rows=ROWS, steps=1):
    """Gradients of one step after ``steps`` − 1 steps that change nothing."""
    balancer = copy.deepcopy(balancer)
    balancer.setup(2)
    for _ in range(steps):
        model.zero_grad()
        with model.accumulate() as at:
            for row in rows:
                one = at(row)
                step = Step(losses_of(one.forward(batch[0]), batch[1]), one, model)
                balancer.backward(step)
        balancer.after_step(step, lambda: None)
    return [p.grad.clone() for p in model.parameters() if p.requires_grad]


def naive(model, batch, factors):
    """∇ Σ_m Σ_t λ_t w_t L_t / (‖∇ w_t L_t‖ + ξ) by plain autograd, norms over ``split_parameters()[0]``."""
    model.zero_grad()
    shared, _ = model.split_parameters()
    for row in ROWS:
        losses = losses_of(model(batch[0], row), batch[1])
        total = 0
        for weight, loss, factor in zip(row, losses, factors(torch.stack(losses).detach())):
            gradients = torch.autograd.grad(factor * loss, shared, retain_graph=True)
            norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
            total = total + weight * factor * loss / (norm + XI)
        total.backward()
    return [p.grad.clone() for p in model.parameters() if p.requires_grad]


def relative_error(ours, theirs):
    difference = torch.cat([(a - b).flatten() for a, b in zip(ours, theirs)]).norm()
    return float(difference / torch.cat([b.flatten() for b in theirs]).norm())


def test_gradient_normalised_is_the_plain_formula_with_adapters_in_the_norms(model, batch):
    shared, _ = model.split_parameters()
    assert any(p is model.layers[0].adapter_a for p in shared)
    ours = accumulated(model, batch, balancers.get("gradient_normalised")(xi=XI))
    assert relative_error(ours, naive(model, batch, torch.ones_like)) < 1e-10


def test_a_frozen_base_has_no_part_in_the_norms(model, batch):
    """As in Pareto expansion, where only the adapters are trained."""
    frozen = copy.deepcopy(model)
    for layer in frozen.layers:
        layer.base_weight.requires_grad_(False)
    ours = accumulated(frozen, batch, balancers.get("gradient_normalised")(xi=XI))
    assert relative_error(ours, naive(frozen, batch, torch.ones_like)) < 1e-10


def test_fully_normalised_is_the_plain_formula(model, batch):
    ours = accumulated(model, batch, balancers.get("fully_normalised")(xi=XI, window=1))
    theirs = naive(model, batch, lambda losses: 1 - losses / losses.sum())
    assert relative_error(ours, theirs) < 1e-10


def test_loss_normalised_weighs_by_the_window_once_it_is_full(model, batch):
    balancer = balancers.get("loss_normalised")(window=4)
    first = accumulated(model, batch, balancer)
    assert relative_error(first, accumulated(model, batch, balancers.get("linear")())) < 1e-12
    second = accumulated(model, batch, balancer, steps=3)
    model.zero_grad()
    history = []
    for row in list(ROWS) * 3:
        losses = losses_of(model(batch[0], row), batch[1])
        history = [*history, torch.stack(losses).detach()][-4:]
        mean = torch.stack(history).mean(0)
        if len(history) < 4:
            continue
        model.zero_grad() if torch.equal(row, ROWS[0]) else None
        sum(w * (1 - c) * loss for w, c, loss in zip(row, mean / mean.sum(), losses)).backward()
    assert relative_error(second, [p.grad for p in model.parameters()]) < 1e-10


@pytest.mark.parametrize("name", ["gradient_normalised_centre", "gradient_normalised_last"])
def test_the_first_pass_with_cheap_norms_is_exact(model, batch, name):
    exact = accumulated(model, batch, balancers.get("gradient_normalised")(), ROWS[:1])
    assert relative_error(accumulated(model, batch, balancers.get(name)(), ROWS[:1]), exact) < 1e-12


@pytest.mark.parametrize("name", ["gradient_normalised_centre", "gradient_normalised_last"])
def test_cheap_norms_stay_close_to_the_exact_ones(model, batch, name):
    """A bound for this network; what it is in training is measured in the benchmark of the balancers."""
    exact = accumulated(model, batch, balancers.get("gradient_normalised")())
    assert relative_error(accumulated(model, batch, balancers.get(name)(), steps=2), exact) < 0.2


def test_centre_norms_are_measured_at_the_preference_nearest_the_centre(model, batch):
    balancer = balancers.get("gradient_normalised_centre")()
    balancer.setup(2)
    with model.accumulate() as at:
        for row in ROWS:
            one = at(row)
            step = Step(losses_of(one.forward(batch[0]), batch[1]), one, model)
            balancer.backward(step)
    balancer.after_step(step, lambda: None)
    assert balancer.place == 1


def test_a_vanishing_gradient_does_not_divide_by_zero(model):
    with model.accumulate() as at:
        one = at(ROWS[1])
        losses = [0 * out.sum() for out in one.forward(torch.rand(2, 1, 28, 28).double()).values()]
        weights = balancers.get("gradient_normalised")(xi=XI).backward(Step(losses, one, model))
    torch.testing.assert_close(weights, ROWS[1] / XI)
