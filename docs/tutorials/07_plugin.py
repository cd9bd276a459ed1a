"""
A balancer and a kind of task of your own
=========================================

What you register is used by every command, by ``pc.fit`` and by the dashboard, like what is built in. In a file of
its own it is a plugin.
"""

# %%
# A balancer turns the T losses of a pass into gradients: this one follows the worst of the weighted losses, smoothly.
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import palora_core as pc
from palora_core.balancing.base import Balancer
from palora_core.objectives import Metric
from palora_core.tasks import Task


@pc.register("balancer", "soft_worst")
@dataclass
class SoftWorst(Balancer):
    """μ log Σ exp(λₜ Lₜ / μ): a smooth worst case, in place of the sum λᵀL.

    Attributes:
        smoothness: μ; the smaller, the more the worst task counts.
    """

    smoothness: float = 0.1

    def backward(self, step):
        weighted = step.preference * torch.stack(list(step.losses)) / self.smoothness
        (self.smoothness * weighted.logsumexp(0)).backward()
        return step.preference


# %%
# A kind of task knows its loss, its metrics, the best constant answer and how much two predictions differ. Hooks give
# sums, so that missing labels, batches of any size and several machines are joined rightly without more.
@pc.register("task", "count")
@dataclass(frozen=True)
class Count(Task):
    """A number of events, from the logarithm of its rate [B, 1]: Poisson likelihood."""

    def constant_answer(self, target):
        return target.float().mean().clamp(min=1e-3).log().expand(len(target), 1)

    def effect(self, first, second):
        return (first.exp() - second.exp()).abs()[:, 0] / second.exp()[:, 0]

    def _terms(self, prediction, target):
        return nn.functional.poisson_nll_loss(prediction[:, 0], target, reduction="sum"), torch.tensor(len(target))

    def _measure(self, prediction, target):
        return {"off": (prediction[:, 0].exp() - target).abs().sum()}

    def _summarise(self, sums, convention="exact"):
        return {"off": sums["off"] / sums["count"]}

    @property
    def summed_metrics(self):
        return (Metric("off", "mean error of the count", "events", False),)


# %%
x = torch.randn(800, 3, generator=torch.Generator().manual_seed(0))
data = x, {"visits": torch.poisson(x[:, 0].exp()), "calls": torch.poisson((x[:, 0] + x[:, 1]).exp())}
counts = [Count("visits", output=lambda y: y[:, :1]), Count("calls", output=lambda y: y[:, 1:])]
problem = pc.Problem(nn.Sequential(nn.Linear(3, 1), nn.Tanh(), nn.Linear(1, 2)), counts, data)
options = {"epochs": 20, "batch_size": 32, "lr": 0.01, "evaluate_every": 0, "progress": False}
run = pc.fit(problem, balancer="soft_worst", smoothness=0.2, out=Path(tempfile.mkdtemp()) / "counts", **options)
print({name: values.round(2)[[0, 5, 10]].tolist() for name, values in run.front().metrics.items()})

# %%
# Saved as ``mine.py``, all of it comes in with ``palora train --plugin mine …``, ``make app PLUGINS=mine`` or an
# entry point.
