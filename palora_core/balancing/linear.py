"""Linear scalarization and its loss- and gradient-normalised variants."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from palora_core.balancing.base import Balancer, Step, accumulate_gradient, balancers
from palora_core.ranges import Count, Positive, check_ranges


@balancers.register("linear")
@dataclass
class Linear(Balancer):
    """λᵀL: the loss of LS, STL, PaLoRA, PaMaL and PHN."""

    scalar: ClassVar[bool] = True
    sparse: ClassVar[bool] = True

    def backward(self, step: Step) -> Tensor:
        """One backward pass of Σ_t λ_t L_t, over the losses that were computed."""
        sum(weight * loss for weight, loss in zip(step.preference, step.losses) if loss.requires_grad).backward()
        return step.preference


@balancers.register("gradient_normalised")
@dataclass
class GradientNormalised(Balancer):
    """Σ_t λ_t L_t / (‖∇L_t‖ + ξ), norms over all shared parameters, adapters included; no gradient through norms.

    The T task gradients that give the norms are combined afterwards, so the exact method costs T backward passes
    instead of T + 1 and no second forward.

    Attributes:
        xi: ξ, keeps a vanishing gradient from dividing by zero.
    """

    xi: Positive = 1e-3

    def task_weights(self, step: Step) -> Tensor:
        """Factors [T] on the losses before normalisation; ones here."""
        return torch.ones_like(step.values())

    def backward(self, step: Step) -> Tensor:
        """Backward per task, then one weighted sum."""
        shared, specific = step.task_gradients()
        return self.combine(step, shared, specific, gradient_norms(step, shared))

    def combine(self, step: Step, shared: list[list[Tensor]], specific: list[list[Tensor]], norms: Tensor) -> Tensor:
        """Accumulate the weighted sum of the tasks' gradients; returns the weights [T]."""
        weights = self.weights(step, norms)
        if not torch.isfinite(torch.stack([weights, norms.to(weights)])).all():
            raise FloatingPointError("the norms of the task gradients are not finite")
        for task, weight in enumerate(weights.tolist()):
            for leaf, gradient in zip(
                [*step.forward_pass.shared, *step.forward_pass.specific[task]], [*shared[task], *specific[task]]
            ):
                accumulate_gradient(leaf, gradient, weight)
        return weights

    def weights(self, step: Step, norms: Tensor) -> Tensor:
        """λ_t w_t / (w_t ‖∇L_t‖ + ξ) for the factors w and the plain losses' norms [T]."""
        prior = self.task_weights(step)
        return step.preference * prior / (norms * prior + self.xi)


def gradient_norms(step: Step, shared: Sequence[Sequence[Tensor]]) -> Tensor:
    """‖∇L_t‖ [T] over all shared parameters, adapters included, from the tasks' gradients of the shared leaves."""
    return step.gramian(shared).diagonal().clamp_min(0).sqrt()


class _LossHistory:
    """w_t = 1 − c_t / Σ_s c_s with c the mean of the newest losses but zeros; ones until a window is full."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.losses: deque[list[float]] = deque(maxlen=window)

    def weights(self, losses: Tensor) -> Tensor:
        self.losses.append(losses.tolist())
        if len(self.losses) < self.window:
            return torch.ones_like(losses)
        newest = torch.tensor(list(self.losses), dtype=torch.float64)  # a sum of large ones may exceed float32
        mean = newest.sum(0) / (newest != 0).sum(0).clamp(min=1)
        return (1 - mean / mean.sum().clamp_min(torch.finfo(mean.dtype).tiny)).to(losses)


@balancers.register("loss_normalised")
@dataclass
class LossNormalised(Balancer):
    """Σ_t w_t λ_t L_t, w_t = 1 − c_t/Σ_s c_s over a moving window of losses (the released code's ``lb``).

    Attributes:
        window: how many forward passes the window holds.
    """

    state: ClassVar[tuple[str, ...]] = ("recent",)
    scalar: ClassVar[bool] = True
    window: Count = 25

    def __post_init__(self) -> None:
        check_ranges(self)

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Start with an empty window."""
        self.history = _LossHistory(self.window)

    @property
    def recent(self) -> list[list[float]]:
        """The window's losses."""
        return list(self.history.losses)

    @recent.setter
    def recent(self, value: list[list[float]]) -> None:
        self.history.losses = deque(value, maxlen=self.window)

    def backward(self, step: Step) -> Tensor:
        """One backward pass of the weighted sum."""
        weights = step.preference * self.history.weights(step.values_from(0.0, "Normalisation by losses"))
        sum(weight * loss for weight, loss in zip(weights, step.losses)).backward()
        return weights


@balancers.register("fully_normalised")
@dataclass
class FullyNormalised(GradientNormalised):
    """Loss weights first, then gradient normalisation of the weighted losses (the released code's ``full``).

    Attributes:
        window: see :class:`LossNormalised`.
    """

    state: ClassVar[tuple[str, ...]] = ("recent",)
    window: Count = 25

    def __post_init__(self) -> None:
        check_ranges(self)

    setup = LossNormalised.setup
    recent: ClassVar[Any] = LossNormalised.recent

    def task_weights(self, step: Step) -> Tensor:
        """The loss window's weights."""
        return self.history.weights(step.values_from(0.0, "Normalisation by losses"))  # type: ignore[attr-defined]
