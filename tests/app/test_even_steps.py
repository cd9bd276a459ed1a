"""Even steps: equal moves of the handle give more equal changes, and nothing of the simplex is lost."""

import numpy as np
import pytest

from app.analysis.even_steps import even_steps
from app.analysis.queries import interpolate
from palora_core.evaluation.front import Front
from palora_core.simplex import simplex_lattice

PARTS = 14


def front(num_tasks: int, power: float, parts: int = 10) -> Front:
    """The more of a task, the lower its loss, at a speed that changes along the way."""
    preferences = simplex_lattice(num_tasks, parts).double().numpy()
    names = tuple("abc"[:num_tasks])
    return Front(preferences, 3.0 * (1 - preferences**power), {}, names, (4.0,) * num_tasks)


def mapped(steps: dict, source: str, target: str, points: np.ndarray) -> np.ndarray:
    """What the browser does: linear inside the cell that holds a point."""
    here, there = np.array(steps[source]), np.array(steps[target])
    result = np.zeros_like(points)
    for n, point in enumerate(points):
        weights = [np.linalg.solve(here[cell].T, point) for cell in steps["cells"]]
        best = int(np.argmax([w.min() for w in weights]))
        inside = np.clip(weights[best], 0, None)
        result[n] = inside / inside.sum() @ there[steps["cells"][best]]
    return result


def changes(of: Front, steps: dict | None) -> np.ndarray:
    """Distances on the front, between neighbours of a lattice of places."""
    places = simplex_lattice(of.preferences.shape[1], PARTS).double().numpy()
    preferences = places if steps is None else mapped(steps, "places", "preferences", places)
    points = interpolate(of.preferences, of.objectives, preferences)
    a, b = np.nonzero(np.triu(np.isclose(np.abs(places[:, None] - places[None]).sum(-1), 2 / PARTS)))
    return np.linalg.norm(points[a] - points[b], axis=1)


def unevenness(lengths: np.ndarray) -> float:
    return float(lengths.std() / lengths.mean())


@pytest.mark.parametrize(("num_tasks", "power", "factor"), [(2, 0.4, 6), (2, 3, 6), (3, 0.4, 2), (3, 4, 1.3)])
def test_equal_moves_give_more_equal_changes(num_tasks, power, factor):
    f = front(num_tasks, power)
    before, after = changes(f, None), changes(f, even_steps(f))
    assert unevenness(after) * factor < unevenness(before)
    assert after.max() / np.median(after) < before.max() / np.median(before)


@pytest.mark.parametrize("num_tasks", [2, 3])
def test_corners_and_sides_stay_and_nothing_folds(num_tasks):
    rng = np.random.default_rng(num_tasks)
    f = front(num_tasks, 2)
    f = Front(f.preferences, f.objectives + rng.normal(0, 0.3, f.objectives.shape), {}, f.tasks, f.reference)
    steps = even_steps(f)
    preferences, places = np.array(steps["preferences"]), np.array(steps["places"])
    corners = preferences.max(1) == 1
    assert places[corners] == pytest.approx(preferences[corners])
    assert ((places > 1e-9) == (preferences > 0)).all(), "what lies on a side stays on it, the inside stays inside"
    assert places.sum(1) == pytest.approx(1, abs=1e-4)
    areas = np.array([np.linalg.det(places[cell]) for cell in steps["cells"]])
    before = np.array([np.linalg.det(preferences[cell]) for cell in steps["cells"]])
    assert (areas * np.sign(before) > 0).all()
    assert np.abs(areas).sum() == pytest.approx(np.abs(before).sum(), rel=1e-3), "the cells fill the whole simplex"
    points = rng.dirichlet(np.ones(num_tasks), 50)
    there = mapped(steps, "preferences", "places", points)
    assert mapped(steps, "places", "preferences", there) == pytest.approx(points, abs=1e-3)


def test_a_front_whose_changes_are_even_already_is_left_alone():
    steps = even_steps(front(2, 1))
    assert np.array(steps["places"]) == pytest.approx(np.array(steps["preferences"]), abs=1e-4)


def test_sides_of_three_tasks_go_by_arc_length_as_two_tasks_do():
    preferences = simplex_lattice(3, 10).double().numpy()
    steps = even_steps(front(3, 3))
    side = preferences[:, 2] == 0
    line = Front(preferences[side][:, :2], 3 * (1 - preferences[side][:, :2] ** 3), {}, ("a", "b"), (4.0, 4.0))
    assert np.array(steps["places"])[side][:, :2] == pytest.approx(np.array(even_steps(line)["places"]), abs=0.02)


def test_where_there_is_nothing_to_even_out():
    f = front(2, 2)
    assert even_steps(Front(f.preferences, np.ones_like(f.objectives), {}, f.tasks, f.reference)) is None
    four = simplex_lattice(4, 3).double().numpy()
    assert even_steps(Front(four, 1 - four, {}, tuple("abcd"), (2.0,) * 4)) is None
    loose = np.random.default_rng(0).dirichlet(np.ones(3), 66)
    assert even_steps(Front(loose, 1 - loose, {}, tuple("abc"), (2.0,) * 3)) is None
