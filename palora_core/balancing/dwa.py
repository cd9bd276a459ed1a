"""Dynamic weight average: tasks whose loss falls slowly weigh more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from palora_core.balancing.base import balancers
from palora_core.balancing.losses import LossBalancer
from palora_core.ranges import CountOrNone, Positive, check_ranges


@balancers.register("dwa")
@dataclass
class DynamicWeightAverage(LossBalancer):
    """Σ_t w_t L_t, w = T·softmax(r / temperature), r_t the ratio of the last two mean losses (Liu et al.: CVPR 2019).

    The means are over epochs as in the paper, or over windows of passes as in the released PaLoRA code, which averages
    the newest 25 and the 25 before at every pass. Weights are ones until two means exist. Losses of exactly 0 are left
    out of the means; a task that has none over one of them, so no rate either, counts as one that stands still.

    Attributes:
        temperature: the larger, the more even the weights.
        window: 0 for epochs, else the number of passes in each of the two windows.
    """

    state: ClassVar[tuple[str, ...]] = ("recent", "means")
    least: ClassVar[float] = 0.0
    temperature: Positive = 2.0
    window: CountOrNone = 0

    def __post_init__(self) -> None:
        check_ranges(self)

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """No history. ``recent`` is this epoch's sums of losses and their numbers, or both windows' passes."""
        self.recent: list[list[float]] = []
        self.means: list[list[float]] = []

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The weighted sum; notes the losses."""
        weights = self._weights(len(losses)).to(losses)
        self._note(losses.tolist())
        return (preference * len(losses) * weights * losses).sum()

    def end_epoch(self) -> None:
        """Turn the epoch's sum into a mean."""
        if self.window == 0 and self.recent:
            total, passes = self.recent
            self.means = [*self.means, [a / max(n, 1) for a, n in zip(total, passes)]][-2:]
            self.recent = []

    def _weights(self, num_tasks: int) -> Tensor:
        if len(self.means) < 2:
            return torch.ones(num_tasks)
        older, newer = torch.tensor(self.means, dtype=torch.float64)
        rates = torch.where((older > 0) & (newer > 0), newer / older, 1.0)
        return num_tasks * (rates / self.temperature).softmax(dim=0)

    def _note(self, losses: list[float]) -> None:
        if self.window == 0:
            total, passes = self.recent or ([0.0] * len(losses), [0.0] * len(losses))
            self.recent = [[a + b for a, b in zip(total, losses)], [n + (b != 0) for n, b in zip(passes, losses)]]
            return
        self.recent = [*self.recent, losses][-2 * self.window :]
        if len(self.recent) == 2 * self.window:
            halves = torch.tensor(self.recent, dtype=torch.float64).view(2, self.window, -1)
            self.means = (halves.sum(dim=1) / (halves != 0).sum(dim=1).clamp(min=1)).tolist()
