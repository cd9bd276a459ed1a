"""
Pareto expansion of a torchvision network
=========================================

A network that is trained already gets a front in a short time: its weights stay, adapters are added, and only they
are trained.
"""

# %%
# Something trained: torchvision's ResNet-18 with one head for two digits, for equal weights of both. Bring your own
# checkpoint instead; names as torchvision, timm, DDP, ``torch.compile`` or Lightning leave them are understood.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import torchvision
from torch import nn

import palora_core as pc

folder = Path(tempfile.mkdtemp())
digits = pc.benchmarks()["multimnist"](
    train_images=2500, test_images=500
).problem()  # MNIST's subset that travels along


class Digits(nn.Module):
    """Two digits of ten classes each from one ResNet-18."""

    def __init__(self):
        super().__init__()
        self.trunk = torchvision.models.resnet18(num_classes=20)
        self.trunk.conv1 = nn.Conv2d(1, 64, 3, stride=2, padding=1, bias=False)

    def forward(self, x):
        y = self.trunk(x)
        return {"top_left": y[:, :10], "bottom_right": y[:, 10:]}


problem = pc.Problem(Digits(), digits.objectives, train=digits.train, val=digits.val, test=digits.test)
small = {"batch_size": 128, "evaluate_every": 0, "samples": 2, "progress": False}
plain = pc.fit(problem, method="ls", out=folder / "plain", epochs=2, **small)
torch.save(plain.model.merge([0.5, 0.5]).state_dict(), folder / "plain.pt")

# %%
# The expansion. ``adapters_only`` freezes what was trained; the front starts as one point and spreads.
run = pc.fit(
    problem, out=folder / "expanded", epochs=1, start_from=str(folder / "plain.pt"), adapters_only=True,
    rank=4, alpha=8.0, num_preferences=3, lr=3e-3, front_points=5, test_points=5, **small,
)  # fmt: skip

# %%
start, front = plain.front(), run.front()
figure, axes = plt.subplots(figsize=(5, 4))
axes.plot(*front.objectives.T, "o-", label="expanded")
axes.plot(*start.objectives.T, "k*", markersize=12, label="the network it started from")
axes.set(xlabel="top left: cross-entropy", ylabel="bottom right: cross-entropy")
axes.legend()
for task, effect in front.effect().items():
    print(f"{task}: from corner to corner {100 * effect:.0f} % of the digits are read differently")

# %%
# On a command line: ``palora expand --from plain.pt --benchmark NAME --out RUN``; several α at once draw the paper's
# Figure 4.
