"""A moving average of the weights, which is evaluated and saved while training goes on with the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from palora_core import normalisation
from palora_core.conditioning.base import ParetoModel


class MovingAverage:
    """e ← d·e + (1 − d)·w after every step, e = w after the first, as ``torch.optim.swa_utils`` has it.

    Averaged are the trained parameters and the running statistics of BatchNorm.

    Args:
        model: whose weights are averaged.
        decay: d in (0, 1).
    """

    def __init__(self, model: ParetoModel, decay: float) -> None:
        self.model, self.decay = model, decay
        self.averages: list[Tensor] = []

    @property
    def begun(self) -> bool:
        """Whether a step has been averaged."""
        return bool(self.averages)

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights as they are now."""
        weights = self._weights()
        if not self.averages:
            self.averages = [weight.detach().clone() for weight in weights]
            return
        torch._foreach_lerp_(self.averages, weights, 1 - self.decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """A block in which the model has the averaged weights."""
        weights = self._weights()
        before = [weight.detach().clone() for weight in weights]
        self._write(weights, self.averages)
        try:
            yield
        finally:
            self._write(weights, before)

    def state_dict(self) -> dict[str, list[Tensor]]:
        """For an exact resume."""
        return {"averages": self.averages}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Restore :meth:`state_dict`."""
        weights = self._weights()
        found = state["averages"]
        if found and [one.shape for one in found] != [weight.shape for weight in weights]:
            raise ValueError("the moving average belongs to another network")
        self.averages = [one.to(weight) for one, weight in zip(found, weights)]

    def _weights(self) -> list[Tensor]:
        trained: list[Tensor] = [p for p in self.model.parameters() if p.requires_grad]
        norms = normalisation.batch_norms(self.model)
        return trained + [layer._buffers[name] for layer in norms for name in ("running_mean", "running_var")]  # type: ignore[misc]

    @staticmethod
    @torch.no_grad()
    def _write(weights: list[Tensor], values: list[Tensor]) -> None:
        for weight, value in zip(weights, values):
            weight.copy_(value)
