"""A small problem of somebody's own, for tests of training from Python."""

import torch
from torch import nn

from palora_core.problem import Problem
from palora_core.tasks import Regression


class Net(nn.Module):
    def __init__(self, norm: bool = False):
        super().__init__()
        self.trunk, self.norm = nn.Linear(4, 8), nn.BatchNorm1d(8) if norm else nn.Identity()
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 1), "b": nn.Linear(8, 1)})

    def forward(self, x):
        features = self.norm(self.trunk(x)).relu()
        return {name: head(features) for name, head in self.heads.items()}


def arrays(items=64, seed=0):
    x = torch.randn(items, 4, generator=torch.Generator().manual_seed(seed))
    return x, {"a": x.sum(1), "b": x[:, 0] - x[:, 1]}


def problem(items=64, norm=False, **given) -> Problem:
    torch.manual_seed(0)
    parts = {"train": arrays(items), "val": arrays(16, 1), "test": arrays(16, 2), **given}
    return Problem(Net(norm), [Regression("a"), Regression("b")], **parts)


def equal(one, other) -> bool:
    """Whether two states hold the same tensors, to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
