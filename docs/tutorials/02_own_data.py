"""
Your own data set with pc.fit
=============================

Arrays, a ``Dataset``, a ``DataLoader`` or a data frame: ``pc.fit`` trains on it, resumes, and leaves a folder that
the dashboard opens.
"""

# %%
# A table with two targets, of which many are missing: NaN for numbers, −1 for classes. Nothing has to be filled in.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

import palora_core as pc
from palora_core.tasks import Classification, Regression

random = torch.Generator().manual_seed(0)
x = torch.randn(3000, 8, generator=random)
price = x[:, :4].sum(1) + 0.3 * torch.randn(3000, generator=random)
sold = (x[:, 2:6].sum(1) > 0).long()
price[torch.rand(3000, generator=random) < 0.5] = float("nan")
sold[torch.rand(3000, generator=random) < 0.3] = -1


# %%
# The network puts out a mapping from each task's name to its prediction.
class Net(nn.Module):
    """Few shared units, so that the two tasks compete for them."""

    def __init__(self):
        super().__init__()
        self.trunk, self.price, self.sold = nn.Linear(8, 2), nn.Linear(2, 1), nn.Linear(2, 2)

    def forward(self, x):
        features = self.trunk(x).tanh()
        return {"price": self.price(features), "sold": self.sold(features)}


# %%
# A problem is a network, its objectives and the data; without ``val`` and ``test`` parts of the data are held out.
problem = pc.Problem(Net(), [Regression("price"), Classification("sold", 2)], (x, {"price": price, "sold": sold}))
folder = Path(tempfile.mkdtemp()) / "houses"
run = pc.fit(problem, out=folder, epochs=15, lr=0.01, optimizer="adamw", schedule="cosine", progress=False)

# %%
# The front of the test split. ``effect`` says how much λ changes predictions from corner to corner.
front = run.front()
print(f"hypervolume {front.hypervolume():.3f}, alignment {front.spearman()}, effect {front.effect()}")
figure, axes = plt.subplots(figsize=(5, 4))
axes.plot(*front.objectives.T, "o-")
axes.set(xlabel="price: squared error", ylabel="sold: cross-entropy")
for preference, point in list(zip(front.preferences, front.objectives))[::5]:
    axes.annotate(f"λ = ({preference[0]:g}, {preference[1]:g})", point, xytext=(6, 6), textcoords="offset points")

# %%
# The folder holds configuration, events, weights, card and front. ``pc.load`` brings the model back in another
# program, ``pc.fit(…, out=folder, resume=True)`` goes on with a run that was stopped, and ``palora app`` lists it.
model, card = pc.load(folder, network=Net())
print(card["title"], sorted(path.name for path in folder.iterdir()))
