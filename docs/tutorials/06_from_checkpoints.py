"""
From fine-tuned checkpoints to a slider
=======================================

Two networks that were fine-tuned from one start become one model that λ steers, without training.
"""

# %%
# The start: a small network for two digits in one picture. From it two copies are fine-tuned, each on one digit alone.
# Bring your own checkpoints in their place; adapters in PEFT's folders go in with ``pc.from_loras``.
import copy

import matplotlib.pyplot as plt
import torch
from torch import nn

import palora_core as pc

torch.manual_seed(0)
digits = pc.benchmarks()["multimnist"](train_images=4000, test_images=1000).problem()
train, test = (digits.sources[part][0].split for part in ("train", "test"))


class Digits(nn.Module):
    """Two digits from few features, so that fine-tuning on one forgets the other."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, 12), nn.ReLU())
        self.heads = nn.Linear(12, 20)

    def forward(self, x):
        y = self.heads(self.trunk(x))
        return {"top_left": y[:, :10], "bottom_right": y[:, 10:]}


def tune(network, preference, epochs):
    """Ordinary training for one fixed weighting of the two losses."""
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(train)).split(64):
            batch = train.batch(rows)
            outputs = network(batch[0])
            optimizer.zero_grad()
            sum(w * task.loss(outputs, batch) for w, task in zip(preference, digits.objectives)).backward()
            optimizer.step()
    return network


network = Digits()
network(train.batch(torch.arange(2))[0])  # the lazy layer learns its size
start = tune(network, (0.5, 0.5), 3)
tuned = [tune(copy.deepcopy(start), preference, 3) for preference in ((1, 0), (0, 1))]

# %%
# Mixed: W(λ) = W₀ + Σ λₜ (Wₜ − W₀), exactly; with ``error=0.1`` the differences are compressed to low rank instead.
model = pc.from_checkpoints(tuned, base=start)
front = pc.evaluate(model, test, digits.objectives)
small = pc.from_checkpoints(tuned, base=start, error=0.1)
print(small.report)

# %%
figure, axes = plt.subplots(figsize=(5, 4))
axes.plot(*(100 * front.metrics[f"{task}/accuracy"] for task in front.tasks), "o-")
axes.set(xlabel="top left: accuracy, %", ylabel="bottom right: accuracy, %")
print({task: f"{100 * effect:.0f} % of the digits" for task, effect in front.effect().items()})

# %%
# On a command line: ``palora merge a.safetensors b.safetensors --benchmark NAME --out MODEL``; the dashboard opens it.
# Where the networks between the corners are worse than they could be, a short training aligns λ: ``pc.fit`` goes on.
