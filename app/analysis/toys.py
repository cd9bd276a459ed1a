"""Small problems with known answers, for the Learn pages: two objectives in the plane, and a regression that two tasks
pull on."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from palora_core.conditioning.base import conditionings
from palora_core.samplers import annealed_preferences

if TYPE_CHECKING:
    from palora_core.conditioning.lowrank import LowRankModel

# A class must not start thirty trainings at once on two cores.
one_at_a_time = threading.Lock()


# -- two objectives in the plane -----------------------------------------------------------------------------------
MINIMA = np.array([[-0.8, -0.35], [0.8, 0.35]])
EXTENT = 1.6


@dataclass(frozen=True)
class Bowls:
    """Two bowls, f_t(x) = h(|x − m_t|²): what is good for one is bad for the other.

    The Pareto set is the segment between the two minima, whatever increasing h is. With h(s) = s the front is convex;
    with h(s) = 1 − exp(−s/s₀) (after Fonseca & Fleming, 1995) it bulges the other way, and no weighted sum of the
    objectives has its minimum in the middle of it.
    """

    concave: bool = False

    @property
    def scale(self) -> float:
        """s₀: a third of the squared distance between the minima."""
        return float(np.sum((MINIMA[0] - MINIMA[1]) ** 2)) / 3

    def objectives(self, x: np.ndarray) -> np.ndarray:
        """f_1, f_2 at points [..., 2]: [..., 2]."""
        squared = np.square(x[..., None, :] - MINIMA).sum(-1)
        return 1 - np.exp(-squared / self.scale) if self.concave else squared / self.scale / 3

    def gradients(self, x: np.ndarray) -> np.ndarray:
        """∇f_1, ∇f_2 at points [..., 2]: [..., 2 objectives, 2 coordinates]."""
        away = 2 * (x[..., None, :] - MINIMA) / self.scale
        if not self.concave:
            return away / 3
        return away * (1 - self.objectives(x))[..., None]

    def front(self, count: int = 101) -> np.ndarray:
        """Points of the Pareto front [count, 2]: the objectives along the segment between the minima."""
        share = np.linspace(0, 1, count)[:, None]
        return self.objectives((1 - share) * MINIMA[0] + share * MINIMA[1])


def common_descent(gradients: np.ndarray) -> np.ndarray:
    """−(the shortest convex combination of two gradients [2, 2]): a direction in which neither objective grows.

    It vanishes exactly on the Pareto set (Désidéri, 2012).
    """
    first, second = gradients
    difference = first - second
    length = float(difference @ difference)
    share = 0.5 if length == 0 else float(np.clip(second @ (second - first) / length, 0, 1))
    return -(share * first + (1 - share) * second)


# -- a regression that two tasks pull on -----------------------------------------------------------------------------
@dataclass(frozen=True)
class ToyResult:
    """What came out of :func:`train_toy`.

    Attributes:
        model: the trained network.
        preferences: λ's [K, 2].
        losses: [K, 2].
        ideal: the best any network could do, [K, 2].
        num_base: parameters of the plain network.
        num_adapters: parameters the adapters add.
    """

    model: LowRankModel
    preferences: np.ndarray
    losses: np.ndarray
    ideal: np.ndarray
    num_base: int
    num_adapters: int


def toy_targets(x: Tensor) -> Tensor:
    """What the two tasks want of one and the same output at inputs [N, 2]: waves along x and along y, [N, 2]."""
    return torch.stack([torch.sin(3 * x[:, 0]) + 0.6 * x[:, 1], torch.sin(3 * x[:, 1]) - 0.6 * x[:, 0]], dim=1)


def toy_inputs(side: int = 14) -> Tensor:
    """A regular grid of inputs in [−1, 1]², [side², 2]."""
    ticks = torch.linspace(-1, 1, side)
    return torch.cartesian_prod(ticks, ticks)


def toy_losses(model: nn.Module, x: Tensor, targets: Tensor, preference: Tensor) -> Tensor:
    """Mean squared errors of both tasks [2] at λ."""
    return (model(x, preference) - targets).square().mean(0)


def adapted(network: nn.Module, num_tasks: int, rank: int, alpha: float = 1.0, conv_form: str = "flat") -> LowRankModel:
    """What :func:`palora_core.palorize` gives, by way of the registry.

    Importing its module directly, while another session's first model makes the registry import the same module,
    would leave both waiting for each other.
    """
    return conditionings.get("lowrank")(rank, alpha, conv_form).condition(copy.deepcopy(network), num_tasks)


def train_toy(
    rank: int = 1,
    alpha: float = 1.0,
    num_preferences: int = 3,
    temperature: float = 0.2,
    steps: int = 160,
) -> ToyResult:
    """Train a small network with adapters for both tasks at once, on the annealed preferences of Eq. 2.

    One output serves both tasks, so the best possible answer at λ is λ₁y₁ + λ₂y₂, and the front is known:
    √L₁ + √L₂ = √mean (y₁ − y₂)².
    """
    torch.manual_seed(0)
    x = toy_inputs()
    targets = toy_targets(x)
    network = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    model = adapted(network, 2, rank, alpha)
    optimizer = torch.optim.Adam(model.parameter_groups(1e-2))
    for step in range(steps):
        tau = step / max(1, steps - 1)
        optimizer.zero_grad()
        for preference in annealed_preferences(2, num_preferences, tau, temperature):
            loss = preference @ toy_losses(model, x, targets, preference)  # λᵀL: the same λ mixes weights and losses
            (loss / num_preferences).backward()
        optimizer.step()
    return _evaluated(model, x, targets)


@torch.no_grad()
def _evaluated(model: LowRankModel, x: Tensor, targets: Tensor) -> ToyResult:
    first = torch.linspace(1, 0, 21)
    preferences = torch.stack([first, 1 - first], dim=1)
    losses = torch.stack([toy_losses(model, x, targets, preference) for preference in preferences])
    distance = (targets[:, 0] - targets[:, 1]).square().mean()
    ideal = preferences.flip(1).square() * distance
    base = sum(parameter.numel() for parameter in model.parameters()) - model.num_adapter_parameters
    arrays = [tensor.numpy() for tensor in (preferences, losses, ideal)]
    return ToyResult(model.eval(), *arrays, base, model.num_adapter_parameters)


@torch.no_grad()
def toy_surface(model: LowRankModel, preference: tuple[float, float], side: int = 40) -> np.ndarray:
    """The network's answer over the inputs [side, side] at any λ, rows along the second coordinate."""
    # A merged copy: sessions share the model, and λ is a state of it while it runs.
    return model.merge(torch.tensor(preference))(toy_inputs(side))[:, 0].view(side, side).t().numpy()


@torch.no_grad()
def toy_point(model: LowRankModel, preference: tuple[float, float]) -> np.ndarray:
    """Both losses [2] at any λ, also off the simplex."""
    x = toy_inputs()
    answers = model.merge(torch.tensor(preference))(x)
    return (answers - toy_targets(x)).square().mean(0).numpy()


# -- what storing and training costs ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Costs:
    """Numbers of parameters of one network: plain, and what adapters add to it."""

    plain: int
    adapters: int

    def stored(self, count: int, num_tasks: int) -> dict[str, int]:
        """Parameters to store for ``count`` trade-offs, by way of getting them."""
        return {
            f"{count} networks, one per trade-off": count * self.plain,
            f"{num_tasks} networks, mixed (PaMaL)": num_tasks * self.plain,
            "1 network with adapters (PaLoRA)": self.plain + self.adapters,
        }


def count_parameters(build: Callable[[], nn.Module], num_tasks: int, rank: int, conv_form: str) -> Costs:
    """Exact numbers from palorizing the real network, without memory for its weights."""
    with torch.device("meta"):
        network = build()
        model = adapted(network, num_tasks, rank, conv_form=conv_form)
    return Costs(sum(parameter.numel() for parameter in network.parameters()), model.num_adapter_parameters)
