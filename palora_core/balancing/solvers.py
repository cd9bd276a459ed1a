"""Small exact solvers on a T × T Gramian in float64: quadratic programs, conflict-averse and fair weights.

Each problem has as many unknowns as there are tasks, so active sets and Newton's method reach machine precision in a
handful of tiny linear solves; a general convex solver (cvxpy) costs 40 to 140 times as much and 448 MB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

_PRECISION = 1e-12


def as_array(gramian: Tensor) -> np.ndarray:
    """A Gramian [T, T] as a symmetric float64 array (this is the step's one wait for the device).

    Raises:
        FloatingPointError: it is not finite, on which the solvers would fail in ways of their own.
    """
    array = gramian.detach().double().cpu().numpy()
    if not np.isfinite(array).all():
        raise FloatingPointError("the inner products of the task gradients are not finite")
    return (array + array.T) / 2


def as_weights(weights: np.ndarray, like: Tensor) -> Tensor:
    """Weights [T] on the device and in the precision of ``like``."""
    return torch.from_numpy(weights).to(like)


def over_active(gramian: Tensor, solve: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """The weights [T] that ``solve`` gives the tasks that have a gradient, from their Gramian; 0 for the others.

    A task has none in a batch without a valid element of it. Left in, it would be the shortest combination of all, or
    the one that no direction can help, and the others would not move.
    """
    array = as_array(gramian)
    active = array.diagonal() > 0
    weights = np.zeros(len(array))
    if active.any():
        weights[active] = solve(array[np.ix_(active, active)])
    return as_weights(weights, gramian)


def quadratic_program(quadratic: np.ndarray, linear: np.ndarray, total: float | None = None) -> np.ndarray:
    """argmin ½wᵀQw + pᵀw over w ≥ 0, and Σw = total if given, by the active-set method of Lawson and Hanson.

    Args:
        quadratic: Q [T, T], positive semi-definite; the minimum must exist.
        linear: p [T].
        total: the sum of w, positive, or None for no constraint on it.

    Returns:
        w [T].
    """
    size = len(linear)
    weights, free = np.zeros(size), np.zeros(size, dtype=bool)
    if total is not None:
        start = int(np.argmin(total / 2 * quadratic.diagonal() + linear))
        weights[start], free[start] = total, True
    slack = _PRECISION * max(np.abs(quadratic).max() * max(total or 0.0, 1.0), np.abs(linear).max(), 1e-300)
    for _ in range(10 * size + 20):
        gradient = quadratic @ weights + linear
        level = gradient[free].mean() if total is not None else 0.0
        reduced = np.where(free, np.inf, gradient - level)
        entering = int(np.argmin(reduced))
        if reduced[entering] >= -slack:
            break
        free[entering] = True
        _to_feasible_minimum(quadratic, linear, total, weights, free)
    return weights


def _to_feasible_minimum(
    quadratic: np.ndarray, linear: np.ndarray, total: float | None, weights: np.ndarray, free: np.ndarray
) -> None:
    """Move ``weights``, in place, to the minimum over the free components, fixing those that reach zero on the way."""
    while free.any():
        target = np.zeros_like(weights)
        target[free] = _equality_minimum(quadratic[np.ix_(free, free)], linear[free], total)
        leaving = free & (target <= 0)
        if not leaving.any():
            weights[:] = target
            return
        shares = weights[leaving] / np.maximum(weights[leaving] - target[leaving], 1e-300)
        share = min(1.0, float(shares.min()))
        weights += share * (target - weights)
        free &= ~(leaving & (weights <= _PRECISION * max(float(weights.max()), 1e-300)))
        weights[~free] = 0.0
        if share == 0.0:
            return  # rounding: the component that just entered goes back out


def _equality_minimum(quadratic: np.ndarray, linear: np.ndarray, total: float | None) -> np.ndarray:
    """argmin ½wᵀQw + pᵀw, with Σw = total if given; least squares, for Gramians of dependent gradients."""
    if total is None:
        return np.linalg.lstsq(quadratic, -linear, rcond=_PRECISION)[0]
    size = len(linear)
    scale = max(float(np.abs(quadratic).max()), 1e-300)
    system = np.ones((size + 1, size + 1))
    system[:size, :size], system[size, size] = quadratic / scale, 0.0
    return np.linalg.lstsq(system, np.append(-linear / scale, total), rcond=_PRECISION)[0][:size]


def min_norm_weights(gramian: np.ndarray) -> np.ndarray:
    """MGDA: argmin ‖Σ w_t g_t‖ over the simplex, [T]."""
    return quadratic_program(gramian, np.zeros(len(gramian)), total=1.0)


def dual_cone_weights(rows: np.ndarray, gramian: np.ndarray) -> np.ndarray:
    """UPGrad's projections: for each row u [K, T], argmin vᵀGv over v ≥ u, so that Σ v_t g_t conflicts with no task."""
    return np.stack([row + quadratic_program(gramian, gramian @ row) for row in rows])


def conflict_averse_weights(gramian: np.ndarray, radius: float) -> np.ndarray:
    """CAGrad's w: argmin over the simplex of g_w·g₀ + c‖g₀‖‖g_w‖, with g₀ the mean gradient and c the radius, [T].

    √q = min over ρ > 0 of (q/ρ + ρ)/2 turns the objective into a quadratic program for each ρ. Its value is convex in
    ρ, with derivative zero where ρ = ‖g_w‖; that root is found by regula falsi (Illinois) in a bracket.
    """
    size = len(gramian)
    mean = gramian @ np.full(size, 1 / size)
    reach = radius * np.sqrt(max(mean.mean(), 0.0))
    largest = np.sqrt(gramian.diagonal().max())
    if reach <= 0 or largest <= 0:
        return quadratic_program(np.zeros_like(gramian), mean, total=1.0)

    def excess(norm: float) -> tuple[float, np.ndarray]:
        weights = quadratic_program(reach / norm * gramian, mean, total=1.0)
        return np.sqrt(max(weights @ gramian @ weights, 0.0)) - norm, weights

    shortest = min_norm_weights(gramian)
    low, high = max(np.sqrt(max(shortest @ gramian @ shortest, 0.0)), 1e-9 * largest), largest
    (at_low, weights), (at_high, _) = excess(low), excess(high)
    side = 0
    for _ in range(100):
        if at_low <= 0 or high - low <= 1e-14 * largest:
            break
        norm = (low * at_high - high * at_low) / (at_high - at_low) if at_high < 0 else high
        found, weights = excess(norm)
        if abs(found) <= 1e-14 * largest:
            break
        if found > 0:
            low, at_low, at_high, side = norm, found, at_high / (2 if side == 1 else 1), 1
        else:
            high, at_high, at_low, side = norm, found, at_low / (2 if side == -1 else 1), -1
    return weights


def fair_weights(gramian: np.ndarray, fairness: float = 1.0) -> np.ndarray:
    """The w > 0 with G w = w^(−1/a): FairGrad for fairness a, Nash-MTL's bargaining solution for a = 1, [T].

    It minimises the strictly convex ½wᵀGw − Σ φ(w_t), φ' = w^(−1/a); Newton with halving, on gradients of norm 1 (w_t
    = β_t/‖g_t‖), so tasks of very different scale are no harder. Tasks without a gradient get weight 0.

    Args:
        gramian: G [T, T].
        fairness: a > 0.
    """
    norms = np.sqrt(np.maximum(gramian.diagonal(), 0.0))
    active = norms > 1e-150
    weights = np.zeros(len(gramian))
    if active.any():
        lengths = norms[active]
        cosines = gramian[np.ix_(active, active)] / np.outer(lengths, lengths)
        # The ridge bounds the weights where gradients cancel each other exactly and no finite solution exists.
        cosines += _PRECISION * np.eye(len(lengths))
        weights[active] = _newton(cosines, lengths ** (1 / fairness - 1), 1 / fairness) / lengths
    return weights


def _newton(cosines: np.ndarray, factors: np.ndarray, power: float) -> np.ndarray:
    """β > 0 with C β = k β^(−power)."""
    beta = factors ** (1 / (1 + power))  # the solution for orthogonal gradients

    def residual(point: np.ndarray) -> np.ndarray:
        return cosines @ point - factors * point**-power

    for _ in range(200):
        error = residual(beta)
        if np.abs(error * beta**power / factors).max() < 1e-14:
            break
        hessian = cosines + np.diag(power * factors * beta ** (-power - 1))
        step = -np.linalg.solve(hessian, error)
        # Halve until the point is inside and the slope along the step says that it is not far past the minimum.
        size, slope = 1.0, float(error @ step)
        while size > 1e-15:
            trial = beta + size * step
            if trial.min() > 0 and float(residual(trial) @ step) <= -slope / 2:
                break
            size /= 2
        beta = beta + size * step
    return beta
