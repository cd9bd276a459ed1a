"""
Reading a front
===============

Hypervolume, non-dominated points, alignment, width and effect: what each says, and what each hides.
"""

# %%
# A front that travels with the project: MultiMNIST, 11 preferences on 10,000 test pictures.
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import palora_core as pc

root = next(folder for folder in Path.cwd().resolve().parents if (folder / "trained_models").is_dir())
shipped = root / "trained_models"
front = pc.Front.load(shipped / "multimnist" / "front.json")
print(front.summary())

# %%
# **Hypervolume** is the area between the front and a reference point, here (1, 1). It depends on that point: far
# away, only the ends count; close by, only the middle. Compare fronts at one reference, and look at the picture.
for reference in (0.5, 1.0, 2.0, 10.0):
    print(f"reference {reference:>4g}: hypervolume {front.hypervolume([reference] * 2):.4f} of {reference**2:g}")
figure, axes = plt.subplots(figsize=(5, 4))
axes.plot(*front.objectives.T, "o-")
axes.plot(*front.objectives[front.nondominated()].T, "ko", fillstyle="none", markersize=10, label="non-dominated")
axes.legend()

# %%
# **Alignment** is the rank correlation of λₜ with its loss: −1 where a larger λₜ always makes task t better. A front
# may have a large hypervolume and a slider that does nothing; alignment and effect tell.
print("alignment", front.spearman())

# %%
# **Effect** is what a person sees: how many predictions change from corner to corner. The same digits through a
# bottleneck:
for name in ("multimnist", "multimnist-bottleneck"):
    one = pc.Front.load(shipped / name / "front.json")
    print(f"{name}: effect {one.effect()}, width of accuracy {one.width()['top_left/accuracy']}")

# %%
# **Seeds.** One run is one draw. Differences smaller than the spread of seeds mean nothing: here three seeds of a
# method.
values = [
    pc.Front.load(shipped / "multimnist-methods" / f"palora-s{seed}" / "front.json").hypervolume() for seed in range(3)
]
print(f"hypervolume {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} over {len(values)} seeds")
