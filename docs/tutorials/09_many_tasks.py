"""
Forty tasks at once
===================

λ has one entry per task. Memory grows with the adapters only, and the schedule covers a simplex of any dimension.
"""

# %%
# Forty numbers to be read off 16 inputs, through few hidden units.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import palora_core as pc
from palora_core.tasks import Regression

TASKS = 40
random = torch.Generator().manual_seed(0)
mixing = torch.randn(16, TASKS, generator=random) / 4


def drawn(count):
    """Inputs and forty targets."""
    x = torch.randn(count, 16, generator=random)
    return x, {f"t{n}": (x @ mixing[:, n]).sin() for n in range(TASKS)}


class Net(nn.Module):
    """A trunk that is too narrow for all of them, and a head for each."""

    def __init__(self):
        super().__init__()
        self.trunk, self.heads = nn.Linear(16, 8), nn.Linear(8, TASKS)

    def forward(self, x):
        return self.heads(self.trunk(x).tanh())


objectives = [Regression(f"t{n}", output=lambda y, n=n: y[:, n : n + 1]) for n in range(TASKS)]
problem = pc.Problem(Net(), objectives, drawn(2000), test=drawn(500))

# %%
# Two settings matter where there are many tasks. The paper's M = 5 annealed points never come near forty corners, so
# λ is drawn from a Dirichlet distribution that favours few tasks at a time; and the adapters learn at the base's
# rate, not at T times that.
folder = Path(tempfile.mkdtemp()) / "forty"
options = {"epochs": 10, "batch_size": 64, "lr": 0.01, "rank": 2, "alpha": 8.0, "evaluate_every": 0, "progress": False}
run = pc.fit(
    problem, sampler="dirichlet", concentration=0.05, adapter_lr_scale=1, test_points=TASKS, out=folder, **options
)

# %%
# Does task t do better where λ favours it? Its loss at the centre, and at λ = 60 % for it and the rest for the
# others.
towards = 0.6 * torch.eye(TASKS) + 0.4 / TASKS
preferences = torch.cat([towards, torch.full((1, TASKS), 1 / TASKS)])
front = pc.evaluate(run.model, problem.test, objectives, preferences=preferences)
favoured, centre = front.objectives[:-1].diagonal(), front.objectives[-1]
print(f"favoured / centre {np.mean(favoured / centre):.2f}, lower for {np.sum(favoured < centre)} of {TASKS} tasks")
figure, axes = plt.subplots(figsize=(6, 3))
axes.plot(centre, "k.", label="at the centre")
axes.plot(favoured, "o", label="where λ favours it")
axes.set(xlabel="task", ylabel="squared error")
axes.legend()

# %%
# Hypervolume in forty dimensions takes long and says little; look at alignment, width and effect, or at three tasks
# at a time.
