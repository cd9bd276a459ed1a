"""The Gramian solvers against scipy, closed forms and optimality conditions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize, nnls

from palora_core.balancing.solvers import (
    conflict_averse_weights,
    dual_cone_weights,
    fair_weights,
    min_norm_weights,
    quadratic_program,
)

CASES = list(itertools.product([2, 3, 5], range(6)))


def rows(num_tasks, seed, size=20):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((num_tasks, size)) * 10 ** rng.uniform(-1, 1, (num_tasks, 1))


def dependent_rows(num_tasks, seed):
    return rows(num_tasks, seed, size=max(1, num_tasks - 1))


@pytest.mark.parametrize(("num_tasks", "seed"), CASES)
def test_non_negative_quadratic_program_is_scipys_nnls(num_tasks, seed):
    jacobian, target = rows(num_tasks, seed), np.random.default_rng(seed).standard_normal(20)
    ours = quadratic_program(jacobian @ jacobian.T, -jacobian @ target)
    np.testing.assert_allclose(ours, nnls(jacobian.T, target)[0], atol=1e-9)


@pytest.mark.parametrize("make", [rows, dependent_rows])
@pytest.mark.parametrize(("num_tasks", "seed"), CASES)
def test_min_norm_weights_meet_the_optimality_conditions(num_tasks, seed, make):
    jacobian = make(num_tasks, seed)
    gramian = jacobian @ jacobian.T
    weights = min_norm_weights(gramian)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    # ⟨g_t, d⟩ ≥ ‖d‖² for every task, with equality on the support: d conflicts with none.
    assert (gramian @ weights).min() >= weights @ gramian @ weights - 1e-10 * gramian.max()


@pytest.mark.parametrize("seed", range(12))
def test_min_norm_of_two_tasks_is_the_clamped_closed_form(seed):
    one, two = rows(2, seed)
    first = np.clip((two - one) @ two / ((one - two) @ (one - two)), 0, 1)
    np.testing.assert_allclose(min_norm_weights(np.array([[one @ one, one @ two], [one @ two, two @ two]]))[0], first)


def conflict_averse_objective(gramian, radius):
    uniform = np.full(len(gramian), 1 / len(gramian))
    reach = radius * np.sqrt(uniform @ gramian @ uniform)
    return lambda w: w @ gramian @ uniform + reach * np.sqrt(max(w @ gramian @ w, 1e-300))


@pytest.mark.parametrize("radius", [0.2, 0.4, 0.9])
@pytest.mark.parametrize(("num_tasks", "seed"), CASES)
def test_cagrad_is_optimal_and_no_worse_than_scipys_slsqp(num_tasks, seed, radius):
    jacobian = rows(num_tasks, seed)
    gramian = jacobian @ jacobian.T
    objective = conflict_averse_objective(gramian, radius)
    ours = conflict_averse_weights(gramian, radius)
    simplex = {"type": "eq", "fun": lambda w: 1 - w.sum()}
    start = np.full(num_tasks, 1 / num_tasks)
    theirs = minimize(objective, start, bounds=[(0, 1)] * num_tasks, constraints=simplex, options={"ftol": 1e-12}).x
    assert ours.min() >= 0
    assert ours.sum() == pytest.approx(1)
    assert objective(ours) <= objective(theirs) + 1e-9 * abs(objective(theirs))
    uniform = start
    slope = gramian @ uniform + radius * np.sqrt(uniform @ gramian @ uniform) * gramian @ ours / np.sqrt(
        ours @ gramian @ ours
    )
    assert ours @ slope - slope.min() <= 1e-9 * np.abs(slope).max()  # the KKT residual of a minimum on the simplex


@pytest.mark.parametrize("fairness", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize(("num_tasks", "seed"), CASES)
def test_fair_weights_solve_their_equation_like_scipys_least_squares(num_tasks, seed, fairness):
    jacobian = rows(num_tasks, seed)
    gramian = jacobian @ jacobian.T
    ours = fair_weights(gramian, fairness)
    assert ours.min() > 0
    np.testing.assert_allclose((gramian @ ours) * ours ** (1 / fairness), 1, atol=1e-8)

    def residual(w):
        return gramian @ w - w ** (-1 / fairness)

    theirs = least_squares(residual, ours * 1.1, bounds=(0, np.inf), xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize(("num_tasks", "seed"), CASES)
def test_nash_weights_undo_the_scale_of_the_gradients(num_tasks, seed):
    jacobian, scale = rows(num_tasks, seed), 10 ** np.random.default_rng(seed).uniform(-3, 3, num_tasks)
    scaled = scale[:, None] * jacobian
    np.testing.assert_allclose(fair_weights(scaled @ scaled.T) * scale, fair_weights(jacobian @ jacobian.T), rtol=1e-7)


@pytest.mark.parametrize("make", [rows, dependent_rows])
@pytest.mark.parametrize(("num_tasks", "seed"), CASES)
def test_dual_cone_projections_meet_the_optimality_conditions(num_tasks, seed, make):
    jacobian = make(num_tasks, seed)
    gramian, size = jacobian @ jacobian.T, np.abs(jacobian @ jacobian.T).max()
    starts = np.eye(num_tasks)
    ends = dual_cone_weights(starts, gramian)
    products = ends @ gramian
    assert (ends - starts).min() >= 0
    assert products.min() >= -1e-9 * size  # no conflict
    assert np.abs((ends - starts) * products).max() <= 1e-9 * size * max(1, np.abs(ends).max())  # only what is needed


@pytest.mark.parametrize(
    "gramian",
    [
        np.zeros((2, 2)),
        np.diag([1.0, 0.0]),
        np.array([[1.0, -1.0], [-1.0, 1.0]]),
        np.array([[1.0, 1.0], [1.0, 1.0]]),
        np.array([[1e-12, 0.0], [0.0, 1e12]]),
    ],
)
def test_degenerate_gramians_give_finite_weights(gramian):
    for weights in (
        min_norm_weights(gramian),
        conflict_averse_weights(gramian, 0.4),
        fair_weights(gramian),
        fair_weights(gramian, 2.0),
        dual_cone_weights(np.eye(2), gramian),
    ):
        assert np.isfinite(weights).all()
        assert weights.min() >= 0
