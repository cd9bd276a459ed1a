"""What can be on an axis: losses and metrics of the tasks of a benchmark, with units and directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.library.leaderboards import Leaderboard
from palora_core.evaluation.front import Front
from palora_core.tasks import LOSS, Metric


@dataclass(frozen=True)
class Quantity:
    """What an axis shows: an objective or a metric of one task.

    Attributes:
        key: ``"task/loss"`` or ``"task/metric"``.
        task: its place in λ.
        name: task name.
        metric: what the number means.
    """

    key: str
    task: int
    name: str
    metric: Metric

    @property
    def factor(self) -> float:
        """Fractions are shown in percent."""
        return 100.0 if self.metric.unit == "%" else 1.0

    @property
    def label(self) -> str:
        """Task, metric and unit."""
        unit = f" [{self.metric.unit}]" if self.metric.unit else ""
        return f"{self.name.replace('_', ' ')} {self.metric.label}{unit}"

    @property
    def title(self) -> str:
        """Text of an axis: the arrow shows where it gets better (upwards on a vertical axis)."""
        return f"{self.label}  ·  better →" if self.metric.higher_is_better else f"← better  ·  {self.label}"

    def of(self, front: Front) -> np.ndarray:
        """The values [K] as they are shown; NaN where the front does not have them."""
        if self.metric is LOSS:
            return front.objectives[:, self.task]
        missing = np.full(len(front.preferences), np.nan)
        return self.factor * front.metrics.get(self.key, missing)


def quantities(board: Leaderboard) -> dict[str, Quantity]:
    """The losses of all tasks, then all metrics."""
    found = [Quantity(f"{task.name}/loss", t, task.name, LOSS) for t, task in enumerate(board.tasks)]
    for t, task in enumerate(board.tasks):
        found += [Quantity(f"{task.name}/{m.name}", t, task.name, m) for m in task.metrics]
    return {quantity.key: quantity for quantity in found}
