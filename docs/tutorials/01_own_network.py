"""
Steer a network of your own
===========================

Any ``nn.Module``, a loop of your own, and at the end one network for every trade-off between two objectives.
"""

# %%
# Two objectives that cannot both be had: a small network is to predict a noisy curve closely, and to be smooth.
import matplotlib.pyplot as plt
import torch
from torch import nn

import palora_core as pc

torch.manual_seed(0)
x = torch.rand(64, 1).sort(0).values * 6 - 3
y = torch.sin(2 * x) + 0.4 * torch.randn(64, 1)
network = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))

# %%
# ``palorize`` gives a copy of the network one low-rank adapter per layer and objective. At a preference λ = (λ₁, λ₂)
# every weight is W + α/r · Σ λₜ Bₜ Aₜ; at the start all λ give the network's own output.
model = pc.palorize(network, num_tasks=2, rank=4, alpha=4.0)
print(model.coverage())


# %%
# The objectives, as scalars of what the network puts out. How bent the curve is, is measured on a grid.
grid = torch.linspace(-3, 3, 121)[:, None]


def losses(at):
    """Error on the data, and the mean square of second differences, both of the order of 1."""
    bend = at.forward(grid).diff(n=2, dim=0).square().mean()
    return torch.stack([nn.functional.mse_loss(at.forward(x), y), 2e4 * bend])


# %%
# The loop: each step takes M = 3 preferences, spread over the simplex by the paper's annealed schedule, and ends with
# one step of the optimizer. ``accumulate`` collects all M gradients and applies the chain rule of the adapters once.
optimizer = torch.optim.Adam(model.parameter_groups(lr=3e-3))
steps = 600
for step in range(steps):
    preferences = pc.annealed_preferences(2, 3, tau=step / (steps - 1))
    optimizer.zero_grad()
    with model.accumulate() as accumulated:
        for preference in preferences:
            (preference @ losses(accumulated(preference))).backward()
    optimizer.step()

# %%
# One network, all of the front: λ moves from "follow every point" to "stay smooth".
figure, axes = plt.subplots(figsize=(7, 4))
axes.plot(x, y, ".", color="0.6", label="data")
for share in (1.0, 0.75, 0.5, 0.25, 0.0):
    with torch.no_grad():
        axes.plot(grid, model(grid, [share, 1 - share]), label=f"λ = ({share:g}, {1 - share:g})")
axes.legend()

# %%
# What you choose becomes an ordinary network, and the whole of it is saved and loaded by its folder.
plain = model.merge([0.75, 0.25])
with torch.no_grad():
    print(type(plain).__name__, float((plain(grid) - model(grid, [0.75, 0.25])).abs().max()))
