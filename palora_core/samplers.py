"""Samplers: which preferences a training step sees, as a function of the training time τ."""

import functools
from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.ranges import CountOrNone, Positive, Range, check_ranges
from palora_core.registry import Registry, make_callable
from palora_core.simplex import check_preference, even_points, simplex_points

ABOVE_0 = Range(0, open_low=True)
INSIDE = Range(0, 0.5, open_low=True, open_high=True)

samplers = Registry("sampler")
make_callable(__name__)  # palora_core.samplers() gives what is registered


@runtime_checkable
class PreferenceSampler(Protocol):
    """Chooses the M preferences of a training step.

    Implementations always return exactly M rows on the simplex, for any number of tasks, and draw randomness from the
    generator alone, so that a run resumed from the generator's state continues bit for bit.
    """

    def sample(self, num_tasks: int, num_preferences: int, tau: float, generator: torch.Generator | None) -> Tensor:
        """Preferences [M, T] of the step at training time τ in [0, 1], float32 on the CPU."""
        ...


def annealed_preferences(
    num_tasks: int, num_preferences: int, tau: float, temperature: float = 1.0, epsilon: float = 0.01
) -> Tensor:
    """The annealed deterministic schedule, Eq. 2 of the paper: λ ∝ p^(τ / temperature), normalised.

    The base points p are the evenly spread `simplex_points`, drawn towards the centre by the factor 1 - 2·epsilon so
    that none lies on a face (a zero weight would stay zero at every τ > 0); for two tasks they are
    linspace(1 - epsilon, epsilon, M). At τ = 0 all preferences are the centre; they move apart continuously.
    At every τ each task's mean weight over the M rows is 1/T: by symmetry where the points are a lattice, and
    otherwise by a factor c_t per task, λ_mt ∝ p_mt^(τ / temperature) · c_t, which is continuous and 1 at τ = 0.

    A *lower* temperature spreads preferences further. The released code writes the exponent as `mul`·τ, so
    mul = 1 / temperature, and its default mul = 5 is temperature 0.2.

    Args:
        num_tasks: Number of tasks T, at least 1.
        num_preferences: Number of preferences M, at least 1; a single one is the centre.
        tau: Training time τ in [0, 1].
        temperature: Positive; the exponent at τ = 1 is 1 / temperature.
        epsilon: In (0, 0.5); the smallest weight of a base point is 2·epsilon / T.

    Returns:
        Preferences [M, T], float32, rows in descending order of the first weight.
    """
    _check_time(tau)
    ABOVE_0.check("temperature", temperature)
    INSIDE.check("epsilon", epsilon)
    simplex_points(num_tasks, num_preferences)  # checks the two numbers
    # A step of training asks for the same rows in every rank and wrapper: remember the last few.
    return _annealed(int(num_tasks), int(num_preferences), tau / temperature, epsilon).clone()


@samplers.register("constant")
@dataclass(frozen=True)
class Constant:
    """The same preference at every step: linear scalarisation, or a single task with a one-hot preference.

    Args:
        preference: Weights ≥ 0 [T], normalised to sum 1; None is the centre, whatever the number of tasks.
    """

    preference: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.preference is not None:
            weights = check_preference(self.preference, np.size(self.preference))
            if bool((weights < 0).any()) or float(weights.sum()) <= 0:
                raise UserError(f"preference is {self.preference}; expected weights of at least 0 that are not all 0")
            object.__setattr__(self, "preference", tuple(float(weight) for weight in self.preference))

    def sample(self, num_tasks: int, num_preferences: int, tau: float, generator: torch.Generator | None) -> Tensor:
        """M copies of the preference [M, T]."""
        rows = simplex_points(num_tasks, 1)
        if self.preference is not None:
            weights = check_preference(torch.tensor(self.preference, dtype=torch.float64), num_tasks)
            rows = (weights / weights.sum()).float()[None]
        return rows.repeat(_check_count(num_preferences), 1)


@samplers.register("one_task")
@dataclass(frozen=True)
class OneTask:
    """The corner of the simplex that belongs to one task, whatever the number of tasks.

    Args:
        task: its index, from 0.
    """

    task: CountOrNone = 0

    def sample(self, num_tasks: int, num_preferences: int, tau: float, generator: torch.Generator | None) -> Tensor:
        """M copies of the one-hot preference [M, T]."""
        if isinstance(self.task, bool) or not isinstance(self.task, int) or not 0 <= self.task < num_tasks:
            raise UserError(f"task is {self.task!r}; expected a whole number from 0 to {num_tasks - 1}")
        return torch.eye(num_tasks)[self.task].repeat(_check_count(num_preferences), 1)


@samplers.register("annealed")
@dataclass(frozen=True)
class Annealed:
    """Deterministic points that move from the centre to their places during training (Eq. 2, the paper's choice).

    Args:
        temperature: See `annealed_preferences`; the released code's mul = 5 is 0.2.
        epsilon: See `annealed_preferences`.
    """

    temperature: Positive = 1.0
    epsilon: Annotated[float, INSIDE] = 0.01

    def __post_init__(self) -> None:
        check_ranges(self)

    def sample(self, num_tasks: int, num_preferences: int, tau: float, generator: torch.Generator | None) -> Tensor:
        """Preferences [M, T] of Eq. 2."""
        return annealed_preferences(num_tasks, num_preferences, tau, self.temperature, self.epsilon)


@samplers.register("fixed")
@dataclass(frozen=True)
class Fixed:
    """The evenly spread points from the first step on, as for Pareto expansion; τ does not matter.

    Args:
        epsilon: In (0, 0.5); how far the points are held off the faces, as in `annealed_preferences`.
    """

    epsilon: Annotated[float, INSIDE] = 0.01

    def __post_init__(self) -> None:
        check_ranges(self)

    def sample(self, num_tasks: int, num_preferences: int, tau: float, generator: torch.Generator | None) -> Tensor:
        """The base points [M, T]."""
        return annealed_preferences(num_tasks, num_preferences, 1.0, 1.0, self.epsilon)


@samplers.register("dirichlet")
@dataclass(frozen=True)
class Dirichlet:
    """Random preferences from a symmetric Dirichlet distribution, the same throughout training.

    Args:
        concentration: Positive; 1 is uniform on the simplex, smaller prefers corners, larger the centre.
    """

    concentration: Positive = 1.0

    def __post_init__(self) -> None:
        check_ranges(self)

    def sample(self, num_tasks: int, num_preferences: int, tau: float, generator: torch.Generator | None) -> Tensor:
        """M independent draws [M, T]."""
        return _dirichlet(self.concentration, num_tasks, num_preferences, generator)


@samplers.register("annealed_dirichlet")
@dataclass(frozen=True)
class AnnealedDirichlet:
    """Random preferences that drift to the corners: Dirichlet(p·(1 - τ) + floor), after the released code.

    Args:
        concentration: Positive, the p above.
        floor: Positive; keeps the distribution proper at τ = 1, where draws are all but one-hot.
    """

    concentration: Positive = 1.0
    floor: Positive = 0.001

    def __post_init__(self) -> None:
        check_ranges(self)

    def sample(self, num_tasks: int, num_preferences: int, tau: float, generator: torch.Generator | None) -> Tensor:
        """M independent draws [M, T]."""
        _check_time(tau)
        return _dirichlet(self.concentration * (1 - tau) + self.floor, num_tasks, num_preferences, generator)


@samplers.register("corners")
@dataclass(frozen=True)
class Corners:
    """The corners of the simplex themselves, one after another, and some rows from inside.

    A corner is a preference like any other, and the one that people ask for first. Schedules that stay off the faces
    train a corner's network only with its neighbours' share in it; where objectives have data of their own and each
    profits from the other's adapters, no corner then is the best network for its objective.
    At a corner all other weights are exactly 0, and objectives with data of their own are not computed there.

    Args:
        inner: Share of the rows that are Dirichlet draws instead.
        concentration: Of these draws; 1 is uniform on the simplex.
        until: Training time at which corners are reached from the centre; 0 for the first step.
    """

    inner: Annotated[float, Range(0, 1)] = 0.2
    concentration: Positive = 1.0
    until: Annotated[float, Range(0, 1)] = 0.0

    def __post_init__(self) -> None:
        check_ranges(self)

    def sample(self, num_tasks: int, num_preferences: int, tau: float, generator: torch.Generator | None) -> Tensor:
        """Preferences [M, T]; with fewer rows than tasks, which corners they are is drawn."""
        _check_time(tau)
        count = _check_count(num_preferences)
        device = "cpu" if generator is None else generator.device
        first = int(torch.randint(num_tasks, (), generator=generator, device=device)) if count % num_tasks else 0
        rows = torch.eye(num_tasks)[(first + torch.arange(count)) % num_tasks]
        if tau < self.until:
            rows = torch.lerp(simplex_points(num_tasks, 1).expand_as(rows), rows, tau / self.until)
        drawn = _dirichlet(self.concentration, num_tasks, count, generator)
        inside = torch.rand(count, generator=generator, device=device).cpu() < self.inner
        return torch.where(inside[:, None], drawn, rows)


@functools.lru_cache(maxsize=64)
def _annealed(num_tasks: int, num_preferences: int, exponent: float, epsilon: float) -> Tensor:
    points = even_points(num_tasks, num_preferences)
    inside = (1 - 2 * epsilon) * points + 2 * epsilon / num_tasks
    return torch.from_numpy(_balanced_softmax(exponent * np.log(inside))).float()


def _balanced_softmax(scores: np.ndarray, tolerance: float = 1e-9, most_steps: int = 200) -> np.ndarray:
    """Row-wise softmax of scores [M, T] plus one offset per task, such that every column has mean 1/T.

    The offsets minimise the convex mean_m logsumexp(scores_m + offsets) - mean(offsets), whose gradient is the error
    of the column means; Newton steps with halving. Offsets are 0, and no step is taken, if the means hold already.
    """
    num_tasks = scores.shape[1]
    offsets = np.zeros(num_tasks)
    value, rows = _log_partition(scores, offsets)
    for _ in range(most_steps):
        gradient = rows.mean(axis=0) - 1 / num_tasks
        if np.abs(gradient).max() < tolerance:
            break
        hessian = np.diag(rows.mean(axis=0)) - rows.T @ rows / len(rows)
        # Offsets matter up to a constant only: the 1/T block removes that direction, the ridge guards flat regions.
        step = np.linalg.solve(hessian + 1 / num_tasks + 1e-12 * np.eye(num_tasks), gradient)
        size = 1.0
        while size > 1e-12:
            trial, trial_rows = _log_partition(scores, offsets - size * step)
            if trial <= value - 1e-4 * size * float(gradient @ step):
                break
            size /= 2
        offsets, value, rows = offsets - size * step, trial, trial_rows
    return rows


def _log_partition(scores: np.ndarray, offsets: np.ndarray) -> tuple[float, np.ndarray]:
    """The objective of `_balanced_softmax` and the softmax rows [M, T] at some offsets [T]."""
    shifted = scores + offsets
    top = shifted.max(axis=1, keepdims=True)
    powers = np.exp(shifted - top)
    sums = powers.sum(axis=1, keepdims=True)
    return float((np.log(sums) + top).mean() - offsets.mean()), powers / sums


def _dirichlet(concentration: float, num_tasks: int, num_preferences: int, generator: torch.Generator | None) -> Tensor:
    """M draws [M, T] from the symmetric Dirichlet distribution.

    Weights are computed as logarithms, log Γ(a) = log Γ(a + 1) + log(U) / a, because for small concentrations all
    gamma variables of a row underflow and their ratio would be 0/0. One integer is taken from the torch generator,
    which has no public gamma sampler of its own.
    """
    simplex_points(num_tasks, 1)  # checks the number
    shape = (_check_count(num_preferences), num_tasks)
    device = "cpu" if generator is None else generator.device
    seed = int(torch.randint(2**62, (), generator=generator, device=device))
    rng = np.random.default_rng(seed)
    logs = np.log(rng.standard_gamma(concentration + 1, shape)) + np.log1p(-rng.random(shape)) / concentration
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return torch.from_numpy(powers / powers.sum(axis=1, keepdims=True)).float()


def _check_time(tau: float) -> None:
    if not 0 <= tau <= 1:
        raise UserError(f"tau is {tau!r}; expected the training time as a number from 0 to 1")


def _check_count(num_preferences: int) -> int:
    if isinstance(num_preferences, bool) or not isinstance(num_preferences, int) or num_preferences < 1:
        raise UserError(f"num_preferences is {num_preferences!r}; expected a whole number of at least 1")
    return num_preferences
