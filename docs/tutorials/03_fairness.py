"""
Accuracy against fairness
=========================

32,561 people of a census: predict who earns more than 50,000 dollars, and treat men and women alike. Both cannot be
had in full;
one training gives every compromise.
"""

# %%
# The data travel with the package. Training takes seconds.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import palora_core as pc

folder = Path(tempfile.mkdtemp())
options = {"gaps": "outcomes", "samples": 8, "progress": False}
run = pc.fit("fairness", out=folder / "fairness", **options)
front = run.front()

# %%
# Metrics are of the whole test split of 8,000 people: accuracy, and the gap between the shares of men and of women
# who are predicted to earn more ("demographic parity"), in points.
print(sorted(front.metrics))
accuracy = 100 * front.metrics["income/accuracy"]
gap = front.metrics["equal_outcomes/gap"]
for preference, *values in zip(front.preferences, accuracy, gap):
    print("λ = ({:.1f}, {:.1f}): accuracy {:.1f} %, gap {:.1f} points".format(*preference, *values))

# %%
figure, axes = plt.subplots(figsize=(5, 4))
axes.plot(gap, accuracy, "o-")
axes.set(xlabel="gap of outcomes, points", ylabel="accuracy, %")

# %%
# The steepest part says what a point of the gap costs. Where a rule asks for a gap of at most 2 points, take the most
# accurate λ that keeps it, and hand over an ordinary network.
allowed = [index for index in range(len(gap)) if gap[index] <= 2]
if allowed:
    best = max(allowed, key=lambda index: accuracy[index])
    print(f"λ = {front.preferences[best]}: {accuracy.max() - accuracy[best]:.1f} points of accuracy lost")
    plain = run.model.merge(front.preferences[best])

# %%
# With all three objectives (the default, ``gaps="both"``) the known impossibility shows itself: equal outcomes make
# chances unequal, and the other way round. Drag that triangle in the dashboard: the shipped model ``fairness``.
