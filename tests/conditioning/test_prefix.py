"""Below the first adapted layer, a step computes once what does not depend on λ; never where that would differ."""

import copy

import pytest
import torch
from torch import nn

import palora_core as pc

ROWS = torch.tensor([[0.2, 0.8], [0.7, 0.3], [-0.5, 1.1]])


class Counting(nn.Module):
    """A block that counts its calls; options make it differ from call to call."""

    def __init__(self, dropout=0.0, norm=False, inplace=False):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6) if norm else nn.Identity()
        self.dropout, self.inplace, self.calls = dropout, inplace, 0

    def forward(self, x, cache=None):
        self.calls += 1
        y = self.norm(torch.tanh(self.linear(x)))
        if self.inplace:
            x.add_(1)
        return nn.functional.dropout(y, self.dropout, self.training)


class Net(nn.Module):
    def __init__(self, cached=False, **options):
        super().__init__()
        self.blocks = nn.ModuleList([Counting(**options), Counting(**options), Counting()])
        self.head = nn.Linear(6, 2)
        self.cached = cached

    def forward(self, x):
        x = x * 1.5  # glue between parts: a new tensor in every pass
        for block in self.blocks:
            x = block(x, object() if self.cached else None)
        return self.head(x)


def model_of(**options):
    torch.manual_seed(0)
    model = pc.palorize(Net(**options), 2, 2, select=["blocks.2", "head"], freeze_base=True).double()
    for layer in model.layers:
        nn.init.normal_(layer.adapter_b)
    return model.train()


def step(model, x, together=True):
    """Gradients with what is below the adapters computed once, or in each pass."""
    model.zero_grad()
    torch.manual_seed(3)
    values = []
    with model.accumulate(passes=None if together else 1) as at:
        for row in ROWS:
            loss = at(row).forward(x).square().mean()
            values.append(loss.detach())
            loss.backward()
    return [*values, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ({}, [1, 1, 3]),
        ({"dropout": 0.5}, [3, 3, 3]),
        ({"norm": True}, [3, 3, 3]),
        ({"inplace": True}, [3, 3, 3]),
        ({"cached": True}, [3, 3, 3]),
    ],
)
def test_frozen_parts_below_the_adapters_run_once_where_that_is_the_same(options, calls):
    model, x = model_of(**options), torch.randn(8, 6, dtype=torch.float64)
    twin = copy.deepcopy(model)
    wanted, found = step(twin, x.clone(), together=False), step(model, x.clone())
    assert [block.calls for block in twin.network.blocks] == [3, 3, 3]
    assert [block.calls for block in model.network.blocks] == calls
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values()))
    assert not any("forward" in vars(module) for module in model.modules())
    with model.accumulate() as at:  # another batch, and another step
        y = at(ROWS[0]).forward(2 * x)
    torch.testing.assert_close(y, model(2 * x, ROWS[0]) if not options else y)


def test_nothing_is_taken_for_the_same_that_is_not():
    model = model_of()
    inputs = [torch.randn(8, 6, dtype=torch.float64) for _ in range(2)]
    wanted = [model(x, row) for row in ROWS for x in inputs]
    with model.accumulate() as at:
        found = [at(row).forward(x) for row in ROWS for x in inputs]
        assert all(torch.equal(a, b) for a, b in zip(wanted, found))
        with torch.no_grad():
            model.network.blocks[0].linear.weight.mul_(2)
            inputs[1].mul_(3)
        moved = [at(ROWS[0]).forward(x) for x in inputs]
    assert all(torch.equal(a, model(x, ROWS[0])) for a, x in zip(moved, inputs))
    model.float()
    with model.accumulate() as at:
        for rounded in (True, False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
                assert (at(ROWS[0]).forward(inputs[0].float()).dtype == torch.bfloat16) == rounded


def test_hooks_below_the_adapters_still_see_every_pass():
    model, seen = model_of(), []
    model.network.blocks[0].linear.register_forward_hook(lambda *_: seen.append(1))
    step(model, torch.randn(8, 6, dtype=torch.float64))
    assert len(seen) == 3
