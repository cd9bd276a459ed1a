"""The balancers since 2023 against torchjd where it has them, and against their formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from palora_core.balancing.base import Step, balancers
from palora_core.balancing.config import conflict_free_weights
from palora_core.balancing.moco import softmax_step
from palora_core.balancing.modo import projected_step
from palora_core.balancing.sdmgrad import directed_weights
from palora_core.conditioning.base import Pass
from palora_core.errors import UserError

SEEDS = range(6)


def centre(num_tasks):
    return torch.full((num_tasks,), 1 / num_tasks, dtype=torch.float64)


def walk(name, jacobians, losses, preference=None, **options):
    """What a balancer adds to one leaf [n] in each of several steps, whose Jacobians and losses [T] are given."""
    num_tasks, size = jacobians[0].shape
    balancer = balancers.get(name)(**options)
    balancer.setup(num_tasks)
    given = []
    for jacobian, values in zip(jacobians, losses):
        leaf = torch.zeros(size, dtype=torch.float64, requires_grad=True)
        one = Pass(centre(num_tasks) if preference is None else preference, lambda x: x, [leaf], [[]] * num_tasks)
        step = Step([value + row @ leaf for value, row in zip(values, jacobian)], one, None)  # type: ignore[arg-type]
        balancer.backward(step)
        balancer.after_step(step, lambda values=values: values)
        given.append(leaf.grad)
    return given


@pytest.fixture
def steps(jacobian):
    """Three steps of three tasks: (Jacobians, losses)."""
    jacobians = [jacobian(3, seed, 12) for seed in range(3)]
    return jacobians, [
        torch.rand(3, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) + 0.2 for s in range(3)
    ]


@pytest.mark.parametrize("num_tasks", [2, 3, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_config_is_torchjds(jacobian, direction, num_tasks, seed):
    aggregation = pytest.importorskip("torchjd.aggregation")
    rows = jacobian(num_tasks, seed)
    torch.testing.assert_close(direction(balancers.get("config")(), rows), aggregation.ConFIG()(rows))
    preference = torch.rand(num_tasks, dtype=torch.float64)
    expected = aggregation.ConFIG(num_tasks * preference)(rows)
    torch.testing.assert_close(direction(balancers.get("config")(), rows, preference), expected)


def test_config_has_equal_cosines_also_with_gradients_that_depend_on_each_other(jacobian):
    rows = jacobian(3, 1).numpy()
    found = conflict_free_weights(rows @ rows.T, np.ones(3)) @ rows
    cosines = rows @ found / np.linalg.norm(rows, axis=1) / np.linalg.norm(found)
    np.testing.assert_allclose(cosines, cosines[0])
    assert cosines[0] > 0
    twice = np.vstack([rows[0], 3 * rows[0], rows[1]])
    assert np.isfinite(conflict_free_weights(twice @ twice.T, np.ones(3))).all()


def test_db_mtl_is_its_formula(steps):
    found = walk("db_mtl", *steps, forgetting=0.6, decay=0.5)
    average = torch.zeros_like(steps[0][0])
    for number, (rows, values, own) in enumerate(zip(*steps, found), start=1):
        logs = rows / (values + 1e-8)[:, None]
        average = logs + 0.6 / number**0.5 * (average - logs)
        lengths = average.norm(dim=1)
        torch.testing.assert_close(own, (lengths.max() / lengths) @ average)


def test_moco_is_its_formula(steps):
    found = walk("moco", *steps)
    average, weights = torch.zeros_like(steps[0][0]), centre(3)
    for number, (rows, values, own) in enumerate(zip(*steps, found), start=1):
        scaled = rows / (rows.norm(dim=1, keepdim=True) + 1e-8) * values[:, None]
        average = average - 0.5 / number**0.5 * (average - scaled)
        weights = (weights - 0.1 / number**0.5 * average @ average.t() @ weights).softmax(0)
        torch.testing.assert_close(own, weights @ average)
    assert softmax_step(np.eye(2), np.array([0.5, 0.5]), 0.1, 1.0) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("seed", SEEDS)
def test_modo_moves_its_weights_as_torchjd_does(jacobian, seed):
    aggregation = pytest.importorskip("torchjd.aggregation")
    theirs = aggregation.MoDoWeighting(gamma=0.3, rho=0.2)
    weights = np.full(4, 0.25)
    for number in range(4):
        products = jacobian(4, seed + number, 6) @ jacobian(4, seed + number + 50, 6).t()
        weights = projected_step(products.numpy(), weights, 0.3, 0.2)
        np.testing.assert_allclose(weights, theirs(products).numpy(), atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_sdmgrad_moves_its_weights_as_torchjd_does(jacobian, seed):
    aggregation = pytest.importorskip("torchjd.aggregation")
    theirs = aggregation.SDMGradWeighting(lr=5.0, momentum=0.5, n_iter=20, lambda_=0.3)
    weights = np.full(3, 1 / 3)
    for number in range(3):
        rows = jacobian(3, seed + number, 8)
        products = rows @ (rows + 0.1 * jacobian(3, seed + number + 50, 8)).t()
        weights = directed_weights(products.numpy(), weights, 0.3, 5.0, 0.5, 20)
        directed = (weights + 0.3 / 3) / 1.3
        np.testing.assert_allclose(directed, theirs(products).numpy(), atol=1e-7)


@pytest.mark.parametrize("name", ["modo", "sdmgrad"])
def test_the_weights_learn_from_another_batch_and_the_network_does_not(name, jacobian):
    first, second = jacobian(2, 1, 6), jacobian(2, 2, 6)
    balancer = balancers.get(name)(weights_rate=0.5)
    balancer.setup(2)
    leaf = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    one = Pass(centre(2), lambda x: x, [leaf], [[], []])
    losses = [1 + row @ leaf for row in first]
    weights = balancer.backward(Step(losses, one, None, held_out=lambda: [1 + row @ leaf for row in second]))  # type: ignore[arg-type]
    torch.testing.assert_close(leaf.grad, weights @ first)
    products = (first @ second.t()).numpy()
    if name == "modo":
        expected = projected_step(products, np.full(2, 0.5), 0.5, 0.1)
    else:
        expected = (directed_weights(products, np.full(2, 0.5), 0.3, 0.5, 0.5, 20) + 0.15) / 1.3
    np.testing.assert_allclose(weights.numpy(), expected)
    with pytest.raises(UserError, match=r"second, independent batch"):
        balancer.backward(Step([1 + row @ leaf for row in first], one, None))  # type: ignore[arg-type]


def test_excess_mtl_is_its_formula(steps):
    found = walk("excess_mtl", *steps, robust_rate=0.7)
    squares, weights, start = torch.zeros_like(steps[0][0]), torch.ones(3, dtype=torch.float64), None
    for rows, own in zip(steps[0], found):
        squares = squares + rows.square()
        excess = (rows.square() / (squares + 1e-7).sqrt()).sum(1)
        if start is None:
            start = excess
        else:
            weights = weights * (0.7 * excess / start).exp()
            weights = weights / weights.sum() * 3
        torch.testing.assert_close(own, weights @ rows)


@pytest.mark.parametrize("seed", SEEDS)
def test_pbi_is_torchjds_along_the_ray_of_smooth_tchebycheff(seed):
    scalarization = pytest.importorskip("torchjd.scalarization")
    torch.manual_seed(seed)
    losses, preference = torch.rand(3, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    theirs = scalarization.PBI(5.0, 1 / preference, torch.full((3,), -0.5, dtype=torch.float64))
    found = balancers.get("pbi")(penalty=5.0, ideal=-0.5).objective(losses, preference)
    torch.testing.assert_close(found, theirs(losses), rtol=1e-5, atol=1e-5)
    balanced = 1 / preference - 0.5  # on the ray: nothing is across
    on_ray = balancers.get("pbi")(ideal=-0.5).objective(balanced, preference)
    assert float(on_ray) == pytest.approx(float((1 / preference).norm()), rel=1e-4)
