"""Loss weighting: one scalar made of the T losses, one backward pass. SI, GLS, STCH, UW, IMTL-L, RLW."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from palora_core.balancing.base import Balancer, Step, balancers
from palora_core.balancing.learnt import Randomness, Stochastic
from palora_core.ranges import Positive, check_ranges

_TINY = 1e-8  # keeps the logarithm of a loss that reached zero finite


class LossBalancer(Balancer):
    """Base of balancers that turn the T loss values into one objective.

    The objective is differentiated at the T numbers alone. Its gradient there is the weights of the tasks, with which
    the network's graph is walked back once, from T separate scalars.

    A loss of exactly 0 is that of a task without a valid element in the batch, or of one that has nothing to learn from
    it: objectives leave it out (see :func:`silent`), so that the other tasks learn as if it were not there.
    """

    scalar: ClassVar[bool] = True
    # The least loss that the objective is defined for, or bounded below for.
    least: ClassVar[float] = -math.inf

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The scalar to minimise, from the loss values [T] and λ [T].

        λ enters as T·λ_t on task t's term where the method has no preferences of its own, so the centre of the simplex
        is the method itself.
        """
        raise NotImplementedError

    def backward(self, step: Step) -> Tensor:
        """Gradient of the objective: by the values, then by the leaves; returns the weights [T]."""
        values = step.values() if math.isinf(self.least) else step.values_from(self.least, type(self).__name__)
        values.requires_grad_()
        self.objective(values, step.preference).backward()
        assert values.grad is not None
        torch.autograd.backward(list(step.losses), list(values.grad))
        return values.grad


def silent(losses: Tensor) -> Tensor:
    """Which tasks have nothing to say in this pass: their loss is exactly 0, bool [T]."""
    return losses.detach() == 0


def _mean_logarithm(losses: Tensor, preference: Tensor) -> Tensor:
    """Σ_t λ_t log L_t over the tasks that are not silent."""
    return torch.where(silent(losses), 0, preference * torch.log(losses + _TINY)).sum()


@balancers.register("si")
@dataclass
class ScaleInvariant(LossBalancer):
    """Σ_t λ_t log L_t: no loss's unit matters."""

    least: ClassVar[float] = 0.0

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The weighted mean of the logarithms."""
        return _mean_logarithm(losses, preference)


@balancers.register("gls")
@dataclass
class GeometricMean(LossBalancer):
    """Π_t L_t^λ_t, the geometric mean at the centre (Chennupati et al.: MultiNet++, CVPR workshops 2019)."""

    least: ClassVar[float] = 0.0

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The weighted geometric mean."""
        return _mean_logarithm(losses, preference).exp()


@balancers.register("stch")
@dataclass
class SmoothTchebycheff(LossBalancer):
    """μ log Σ_t exp(λ_t (L_t − z) / μ), a smooth max_t λ_t (L_t − z) (Lin et al., ICML 2024).

    It reaches the whole Pareto front, its non-convex parts too.

    Attributes:
        mu: μ > 0; the smaller, the closer to the maximum.
        ideal: z, the value all losses aim at.
    """

    mu: Positive = 0.1
    ideal: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self)

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The smooth maximum."""
        weighted = preference * (losses - self.ideal) / self.mu
        left_out = silent(losses) & ~silent(losses).all()
        return self.mu * torch.logsumexp(weighted.masked_fill(left_out, -math.inf), dim=0)


class _LearntScales(LossBalancer):
    """Base of objectives with one learnt number s_t per task, zero at the start, trained by the main optimizer."""

    state: ClassVar[tuple[str, ...]] = ("scales",)
    least: ClassVar[float] = 0.0  # below it, the objective falls without end along s_t

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """Zeros."""
        self.scales = nn.Parameter(torch.zeros(num_tasks, device=device))

    def parameters(self) -> list[nn.Parameter]:
        """The scales [T]."""
        return [self.scales]

    def state_dict(self) -> dict[str, Any]:
        """The scales, without their gradient."""
        return {"scales": self.scales.detach()}


@balancers.register("uw")
@dataclass
class UncertaintyWeighting(_LearntScales):
    """Σ_t ½ (e^(−s_t) L_t + s_t), s_t the learnt log-variance (Kendall, Gal, Cipolla: CVPR 2018)."""

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The tasks' negative log-likelihoods."""
        terms = torch.where(silent(losses), 0, torch.exp(-self.scales) * losses + self.scales)
        return (preference * len(losses) * terms).sum() / 2


@balancers.register("imtl_l")
@dataclass
class ImpartialLosses(_LearntScales):
    """Σ_t e^(s_t) L_t − s_t: at its optimum in s all scaled losses are 1 (Liu et al.: IMTL, ICLR 2021)."""

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The tasks' scaled losses."""
        terms = torch.where(silent(losses), 0, torch.exp(self.scales) * losses - self.scales)
        return (preference * len(losses) * terms).sum()


@balancers.register("rlw")
@dataclass
class RandomWeights(Stochastic, LossBalancer):
    """Σ_t w_t L_t with w = softmax of T standard normal numbers, new in every pass (Lin et al.: RLW, TMLR 2022)."""

    def setup(self, num_tasks: int, device: torch.device | str = "cpu") -> None:
        """A generator of its own, on the CPU: T numbers a pass."""
        self.randomness = Randomness()

    def objective(self, losses: Tensor, preference: Tensor) -> Tensor:
        """The randomly weighted sum."""
        drawn = torch.randn(len(losses), generator=self.randomness.generator).softmax(dim=0)
        return (preference * len(losses) * drawn.to(losses) * losses).sum()
