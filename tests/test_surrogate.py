"""The quadratic surrogate: exact on quadratics, honest about everything else."""

import numpy as np
import pytest
import torch
from torch import nn

import palora_core as pc
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.evaluation.surrogate import QuadraticSurrogate
from palora_core.simplex import evaluation_preferences


def front_of(function, points, tasks=2):
    preferences = evaluation_preferences(tasks, points).numpy()
    losses = np.array([function(row) for row in preferences])
    names = tuple(f"task{t}" for t in range(tasks))
    return Front(
        preferences, losses, {"task0/accuracy": 1 - losses[:, 0] / 10}, names, (10.0,) * tasks, {"split": "val"}
    )


@pytest.mark.parametrize("tasks", [2, 3])
def test_quadratics_are_predicted_exactly(tasks):
    matrices = np.random.default_rng(0).normal(size=(tasks, tasks, tasks))

    def function(row):
        return [row @ matrix @ row + row @ matrix[0] + 3 for matrix in matrices]

    surrogate = QuadraticSurrogate.fit(front_of(function, 5 if tasks == 2 else 15, tasks))
    dense = front_of(function, 21 if tasks == 2 else 66, tasks)
    predicted = surrogate.predict(dense.preferences)
    np.testing.assert_allclose(predicted.objectives, dense.objectives, atol=1e-6)
    np.testing.assert_allclose(predicted.metrics["task0/accuracy"], dense.metrics["task0/accuracy"], atol=1e-6)
    assert max(surrogate.told().values()) < 1e-6
    assert predicted.about["predicted"]["evaluated"] == len(surrogate.fitted.preferences)
    assert predicted.about["split"] == "val" and predicted.effects == {}


def test_its_error_is_that_of_points_left_out():
    front = front_of(lambda row: [np.exp(3 * row[0]), row[1] ** 3], 7)
    surrogate = QuadraticSurrogate.fit(front)
    missed = []
    for left in range(7):
        kept = [i for i in range(7) if i != left]
        part = Front(front.preferences[kept], front.objectives[kept], {}, front.tasks, front.reference)
        found = QuadraticSurrogate.fit(part).predict(front.preferences[left : left + 1]).objectives[0]
        missed.append(found - front.objectives[left])
    expected = np.sqrt(np.square(missed).mean(0))
    np.testing.assert_allclose(list(surrogate.told().values())[:2], expected, rtol=1e-9)
    dense = front_of(lambda row: [np.exp(3 * row[0]), row[1] ** 3], 21)
    assert surrogate.missed(dense)["task0 loss"] < 2 * surrogate.told()["task0 loss"]


def test_what_cannot_be_fitted_is_said():
    with pytest.raises(UserError, match=r"3 coefficients, and 3 points were evaluated; evaluate at least 4"):
        QuadraticSurrogate.fit(front_of(lambda row: [1.0, 2.0], 3))
    with pytest.raises(UserError, match=r"not finite"):
        QuadraticSurrogate.fit(front_of(lambda row: [np.nan, 2.0], 5))
    twice = np.repeat([[0.5, 0.5]], 5, 0)
    with pytest.raises(UserError, match=r"do not tell all coefficients apart"):
        QuadraticSurrogate.fit(Front(twice, np.ones((5, 2)), {}, ("a", "b"), (2.0, 2.0)))
    with pytest.raises(UserError, match=r"sum to 1"):
        QuadraticSurrogate.fit(Front(np.random.rand(6, 2), np.ones((6, 2)), {}, ("a", "b"), (2.0, 2.0)))


def test_the_losses_of_merged_linear_networks_are_quadratic():
    """W(λ) is affine, so squared errors of a linear layer are exactly quadratic: MAP's case."""
    torch.manual_seed(0)
    model = pc.from_checkpoints([nn.Linear(4, 2), nn.Linear(4, 2)])
    x, y = torch.randn(64, 4), torch.randn(64, 2)
    objectives = {
        "first": lambda outputs, batch: (outputs[:, 0] - batch[1][:, 0]).square().mean(),
        "second": lambda outputs, batch: (outputs[:, 1] - batch[1][:, 1]).square().mean(),
    }
    few = pc.evaluate(model, (x, y), objectives, preferences=evaluation_preferences(2, 5))
    dense = pc.evaluate(model, (x, y), objectives, preferences=evaluation_preferences(2, 21))
    predicted = QuadraticSurrogate.fit(few).predict(dense.preferences)
    np.testing.assert_allclose(predicted.objectives, dense.objectives, rtol=1e-4)
