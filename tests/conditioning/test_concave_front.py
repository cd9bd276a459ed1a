"""A front that bulges inwards: weighted sums end at its ends, smooth Tchebycheff and PBI with PaLoRA hold its middle.

Fonseca and Fleming's two objectives, f_t(x) = 1 − exp(−|x − m_t|²/s), with a network whose output is x: every Pareto
point lies on the segment between the minima, and of a weighted sum every one but the ends is a maximum along it.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from palora_core.balancing.base import Step, balancers
from palora_core.conditioning.hyperlora import HyperLoRA
from palora_core.conditioning.lowrank import LowRank

ENDS = torch.tensor([[-1.0, -0.5], [1.0, 0.5]])
STEPS = 120


def objectives(x):
    squares = (x - ENDS).square().sum(-1)
    return 1 - torch.exp(-squares / 1.6)


def trained(conditioning, balancer):
    """A model trained at 5 preferences a step; its objectives [K, 2] on a grid."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 2))
    model = conditioning.condition(network, 2)
    balancer.setup(2)
    optimizer = torch.optim.Adam(model.parameter_groups(1e-2))
    one = torch.ones(1, 1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        with model.accumulate() as at:
            for first in torch.rand(5):
                row = at(torch.stack([first, 1 - first]))
                losses = objectives(row.forward(one)[0])
                balancer.backward(Step(list(losses), row, model))
        optimizer.step()
    grid = torch.linspace(0.05, 0.95, 19)
    with torch.no_grad():
        return torch.stack([objectives(model(one, torch.stack([a, 1 - a]))[0]) for a in grid])


def gaps(points):
    """How far the worst point of the front's middle is from the nearest of ``points``, and these from the front."""
    shares = torch.linspace(0, 1, 101)[:, None]
    front = torch.stack([objectives(x) for x in (1 - shares) * ENDS[0] + shares * ENDS[1]])
    distances = torch.cdist(front, points)
    return float(distances[30:71].amin(1).max()), float(distances.amin(0).max())


@pytest.mark.parametrize("first", [0.3, 0.49, 0.7])
def test_a_network_per_weighted_sum_ends_at_an_end(first):
    torch.manual_seed(0)
    x = ((ENDS[0] + ENDS[1]) / 2).clone().requires_grad_()  # the middle of the front, where a weighted sum is largest
    optimizer = torch.optim.Adam([x], 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        (torch.tensor([first, 1 - first]) @ objectives(x)).backward()
        optimizer.step()
    assert float((x.detach() - ENDS).norm(dim=1).min()) < 0.25


def test_a_model_that_is_free_to_jump_leaves_the_middle_out_with_weighted_sums():
    """PaLoRA's weights are affine in λ, so it has to pass through the middle; a hypernetwork's are not."""
    middle, _ = gaps(trained(HyperLoRA(rank=2), balancers.get("linear")()))
    assert middle > 0.15


@pytest.mark.parametrize("name", ["stch", "pbi"])
@pytest.mark.parametrize("conditioning", [LowRank(rank=2), HyperLoRA(rank=2)], ids=["palora", "hyperpalora"])
def test_smooth_tchebycheff_and_pbi_hold_the_middle(conditioning, name):
    points = trained(conditioning, balancers.get(name)())
    middle, off = gaps(points)
    assert middle < 0.1
    assert off < 0.05
    assert (points[1:, 0] <= points[:-1, 0] + 0.02).all()  # a larger λ_1 makes objective 1 no worse
    assert float((points[9, 0] - points[9, 1]).abs()) < 0.1  # at λ = (½, ½) both are as good
