import numpy as np
import pytest

from app.analysis.queries import Wish, columns, find, interpolate, relative_bound
from palora_core.evaluation.front import Front
from palora_core.simplex import evaluation_preferences, simplex_lattice
from palora_core.tasks import Depth, Regression, Segmentation

TASKS = (Segmentation("seg", 3), Depth("depth"))


def front(points: int = 11) -> Front:
    preferences = simplex_lattice(2, points - 1).double().numpy()
    a, b = preferences.T
    metrics = {"seg/miou": 0.4 + 0.4 * a, "seg/pixel_accuracy": 0.5 + 0.4 * a, "depth/abs_err": 0.2 + 0.4 * a**2}
    return Front(preferences, np.stack([(1 - a) ** 2, (1 - b) ** 2], 1), metrics, ("seg", "depth"), (2.0, 2.0))


def column(of: Front, key: str):
    return next(c for c in columns(of, TASKS) if c.key == key)


@pytest.mark.parametrize("num_tasks", [1, 2, 3])
def test_interpolation_is_exact_for_linear_functions(num_tasks):
    preferences = evaluation_preferences(num_tasks).double().numpy()
    slopes = np.arange(1.0, num_tasks + 1)
    at = np.random.default_rng(0).dirichlet(np.ones(num_tasks), 100)
    assert interpolate(preferences, preferences @ slopes, at) == pytest.approx(at @ slopes, abs=1e-5)


@pytest.mark.parametrize("num_tasks", [2, 3, 4, 8, 40])
def test_interpolation_meets_the_evaluated_points(num_tasks):
    preferences = evaluation_preferences(num_tasks).double().numpy()
    values = np.random.default_rng(0).normal(size=(len(preferences), 2))
    assert interpolate(preferences, values, preferences) == pytest.approx(values, abs=1e-3)


def test_columns_have_objectives_first_and_only_what_the_front_has():
    keys = [c.key for c in columns(front(), TASKS)]
    assert keys == ["seg/loss", "depth/loss", "seg/miou", "seg/pixel_accuracy", "depth/abs_err"]


def test_bound_one_push_the_other():
    f = front()
    answer = find(f, [Wish(column(f, "depth/abs_err"), 0.36)], column(f, "seg/miou"))
    assert answer.feasible
    assert answer.values["depth/abs_err"] <= 0.36 + 1e-6
    assert answer.preference[0] == pytest.approx(0.63, abs=0.02)
    assert sum(answer.preference) == pytest.approx(1)


def test_share_of_the_best():
    f = front()
    miou, error = column(f, "seg/miou"), column(f, "depth/abs_err")
    assert relative_bound(miou, 0.95) == pytest.approx(0.76)
    assert relative_bound(error, 0.5) == pytest.approx(0.4)
    answer = find(f, [Wish(miou, 0.76)], error)
    assert answer.feasible and answer.values["seg/miou"] == pytest.approx(0.76, abs=2e-3)


def test_infeasible_wishes_say_how_far_off_they_are():
    f = front()
    answer = find(f, [Wish(column(f, "seg/miou"), 0.9)], column(f, "depth/abs_err"))
    assert not answer.feasible
    assert answer.missed == {"seg mIoU ≥ 90.0 %": pytest.approx(0.1)}
    assert answer.preference == (1.0, 0.0)


def test_contradicting_wishes_are_missed_as_little_as_possible():
    f = front()
    wishes = [Wish(column(f, "seg/miou"), 0.78), Wish(column(f, "depth/abs_err"), 0.22)]
    answer = find(f, wishes, column(f, "seg/pixel_accuracy"))
    assert len(answer.missed) == 2 and 0.2 < answer.preference[0] < 0.9


def test_no_wish_gives_the_best():
    f = front()
    assert find(f, [], column(f, "seg/miou")).preference == (1.0, 0.0)


def test_many_tasks_use_the_evaluated_points():
    preferences = evaluation_preferences(8).double().numpy()
    tasks = [Regression(f"r{i}") for i in range(8)]
    f = Front(preferences, 1 - preferences, {}, tuple(t.name for t in tasks), (2.0,) * 8)
    answer = find(f, [], columns(f, tasks)[3])
    assert answer.preference[3] == 1.0
