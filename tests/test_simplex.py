import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palora_core.errors import UserError
from palora_core.simplex import (
    check_preference,
    describe_preferences,
    evaluation_preferences,
    is_on_simplex,
    project_to_simplex,
    simplex_lattice,
    simplex_points,
)

GRID = list(itertools.product(range(2, 8), range(1, 13)))


def smallest_distance(points: torch.Tensor) -> float:
    return float(torch.pdist(points.double()).min())


@pytest.mark.parametrize("num_tasks", range(1, 7))
@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_lattice_holds_every_multiple_once(num_tasks, partitions):
    lattice = simplex_lattice(num_tasks, partitions)
    assert lattice.dtype == torch.float32
    assert lattice.shape == (math.comb(partitions + num_tasks - 1, num_tasks - 1), num_tasks)
    counts = (lattice.double() * partitions).round()
    assert torch.allclose(counts / partitions, lattice.double(), atol=1e-7)
    assert (counts.sum(1) == partitions).all()
    assert len({tuple(row) for row in counts.tolist()}) == len(lattice)
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)


def test_lattice_of_two_tasks_runs_from_the_first_to_the_second():
    lattice = simplex_lattice(2, 10)
    assert torch.allclose(lattice[:, 0], torch.linspace(1, 0, 11))
    assert lattice[0].tolist() == [1, 0]
    assert lattice[-1].tolist() == [0, 1]


def test_lattice_of_three_tasks_is_the_papers_grid():
    lattice = simplex_lattice(3, 10)
    expected = {(10 - j - k, j, k) for k in range(11) for j in range(11 - k)}
    assert {tuple(round(10 * w) for w in row) for row in lattice.tolist()} == expected
    assert lattice.shape == (66, 3)


@pytest.mark.parametrize("num_tasks", [2, 3, 4])
def test_lattice_is_symmetric_in_the_tasks(num_tasks):
    lattice = simplex_lattice(num_tasks, 4)
    rows = {tuple(row) for row in lattice.tolist()}
    for order in itertools.permutations(range(num_tasks)):
        assert {tuple(row) for row in lattice[:, list(order)].tolist()} == rows


@pytest.mark.parametrize("arguments", [(0, 3), (2, 0), (2, -1), (2, 2.5), (True, 2), (40, 10)])
def test_lattice_rejects_what_makes_no_sense(arguments):
    with pytest.raises(UserError):
        simplex_lattice(*arguments)


@pytest.mark.parametrize(("num_tasks", "num_points"), [*GRID, (1, 3), (3, 50), (40, 5), (40, 40), (12, 30)])
def test_points_are_exactly_as_many_as_asked_and_balanced(num_tasks, num_points):
    points = simplex_points(num_tasks, num_points)
    assert points.shape == (num_points, num_tasks)
    assert points.dtype == torch.float32
    assert (points >= 0).all()
    assert torch.allclose(points.double().sum(1), torch.ones(num_points).double(), atol=1e-6)
    assert torch.allclose(points.double().mean(0), torch.full((num_tasks,), 1 / num_tasks).double(), atol=1e-6)


@pytest.mark.parametrize(("num_tasks", "num_points"), [(t, m) for t, m in GRID if m > 1])
def test_points_keep_apart(num_tasks, num_points):
    # The distance between neighbours of a set that covers the simplex as a lattice of the same number would.
    partitions = 1
    while math.comb(partitions + num_tasks - 1, num_tasks - 1) < num_points:
        partitions += 1
    assert smallest_distance(simplex_points(num_tasks, num_points)) > 0.75 * math.sqrt(2) / (partitions + 1)


@pytest.mark.parametrize(("num_tasks", "num_points"), [(3, 7), (3, 12), (3, 20), (4, 8)])
def test_points_are_about_as_even_as_pymoos_though_balanced(num_tasks, num_points):
    directions = pytest.importorskip("pymoo.util.ref_dirs")
    theirs = torch.from_numpy(directions.get_reference_directions("energy", num_tasks, num_points, seed=1))
    assert smallest_distance(simplex_points(num_tasks, num_points)) > 0.9 * smallest_distance(theirs)


@pytest.mark.parametrize(("num_tasks", "partitions"), [(2, 1), (2, 4), (3, 1), (3, 2), (3, 3), (4, 2), (7, 1)])
def test_points_are_the_lattice_where_there_is_one(num_tasks, partitions):
    lattice = simplex_lattice(num_tasks, partitions)
    assert torch.equal(simplex_points(num_tasks, len(lattice)), lattice)


def test_points_do_not_share_memory():
    simplex_points(3, 5).zero_()
    assert simplex_points(3, 5).sum() > 4


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_projection_is_the_nearest_point(values):
    vector = torch.tensor(values, dtype=torch.float64)
    nearest = project_to_simplex(vector)
    assert is_on_simplex(nearest, 1e-9)
    assert torch.allclose(project_to_simplex(nearest), nearest, atol=1e-9)
    # Optimality over a convex set: the error makes no acute angle with any way to a corner.
    corners = torch.eye(len(values), dtype=torch.float64)
    assert ((corners - nearest) @ (vector - nearest) <= 1e-9).all()


def test_projection_keeps_shape_and_type_of_batches():
    batch = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    projected = project_to_simplex(batch)
    assert projected.shape == batch.shape
    assert projected.dtype == batch.dtype
    assert is_on_simplex(projected)
    assert torch.allclose(projected[1, 3], project_to_simplex(batch[1, 3]))


@pytest.mark.parametrize(
    "preference", [(0.3, 0.7), [1, 0], np.array([0.2, 0.8]), torch.tensor([1, 3]), (-1.0, 1.0), (0, 0), (5.0, 5.0)]
)
def test_preference_may_be_any_real_numbers(preference):
    checked = check_preference(preference, 2)
    assert checked.dtype == torch.float32
    assert checked.tolist() == pytest.approx([float(weight) for weight in preference])


def test_preference_that_is_a_tensor_is_handed_back():
    preference = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    assert check_preference(preference, 2) is preference


@pytest.mark.parametrize(
    "preference",
    [
        (0.5, float("nan")),
        (float("inf"), 0.0),
        (1e300, 0.0),
        (10**400, 0),
        (0.5,),
        (0.2, 0.3, 0.5),
        [[0.5, 0.5]],
        0.5,
        (),
        "0.5 0.5",
        ("a", "b"),
        (None, 1.0),
        None,
        {"a": 1, "b": 2},
        (True, False),
        (1j, 0.0),
        ([1], [1, 2]),
        torch.tensor([float("nan"), 0.0]),
        torch.ones(3),
        torch.ones(1, 2),
    ],
)
def test_preference_must_be_as_many_finite_numbers_as_tasks(preference):
    with pytest.raises(UserError, match="expected 2 finite numbers, one weight per task"):
        check_preference(preference, 2)


@pytest.mark.parametrize(
    ("preference", "expected"),
    [([0.5, 0.5], True), ([1, 0], True), ([0.6, 0.5], False), ([1.1, -0.1], False), ([[1, 0], [0, 2]], False)],
)
def test_is_on_simplex(preference, expected):
    assert is_on_simplex(torch.tensor(preference, dtype=torch.float32)) is expected


@pytest.mark.parametrize(("num_tasks", "count"), [(1, 1), (2, 11), (3, 66), (4, 56), (5, 70), (6, 56), (7, 71)])
def test_evaluation_has_the_documented_number_of_preferences(num_tasks, count):
    preferences = evaluation_preferences(num_tasks)
    assert preferences.shape == (count, num_tasks)
    assert is_on_simplex(preferences)
    assert len({tuple(row) for row in preferences.tolist()}) == count
    rows = preferences.tolist()
    assert all(torch.eye(num_tasks)[task].tolist() in rows for task in range(num_tasks))


@pytest.mark.parametrize("num_tasks", [7, 8, 13, 40])
def test_evaluation_of_many_tasks_covers_corners_centre_and_edges(num_tasks):
    preferences = evaluation_preferences(num_tasks)
    assert preferences.shape == (64 + num_tasks, num_tasks)
    assert is_on_simplex(preferences)
    assert torch.equal(preferences[:num_tasks], torch.eye(num_tasks))
    assert torch.allclose(preferences[num_tasks], torch.full((num_tasks,), 1 / num_tasks))
    edges = preferences[((preferences == 0.5).sum(1) == 2)]
    assert len(edges) == min(32, num_tasks * (num_tasks - 1) // 2)
    assert len({tuple(row) for row in edges.tolist()}) == len(edges)
    turns = (edges > 0).sum(0)
    assert turns.max() - turns.min() <= 2
    assert torch.equal(preferences, evaluation_preferences(num_tasks))


@pytest.mark.parametrize(("num_tasks", "points"), [(2, 1), (2, 31), (3, 11), (4, 9), (9, 12)])
def test_evaluation_takes_a_number_of_points(num_tasks, points):
    assert evaluation_preferences(num_tasks, points).shape == (points, num_tasks)


@pytest.mark.parametrize(("num_tasks", "points", "edges"), [(7, 8, 0), (7, 9, 1), (7, 200, 21), (40, 60, 10)])
def test_evaluation_of_many_tasks_at_a_number_of_points_has_corners_and_centre_too(num_tasks, points, edges):
    preferences = evaluation_preferences(num_tasks, points)
    assert preferences.shape == (points, num_tasks)
    assert torch.equal(preferences[:num_tasks], torch.eye(num_tasks))
    assert torch.allclose(preferences[num_tasks], torch.full((num_tasks,), 1 / num_tasks))
    assert int(((preferences == 0.5).sum(1) == 2).sum()) == edges
    assert len({tuple(row) for row in preferences.tolist()}) == points


@pytest.mark.parametrize("num_tasks", [2, 7])
@pytest.mark.parametrize("points", [0, -3, 1.5, "many"])
def test_evaluation_rejects_a_number_that_is_none(num_tasks, points):
    with pytest.raises(UserError, match="num_points"):
        evaluation_preferences(num_tasks, points)


@pytest.mark.parametrize(
    ("preferences", "expected"),
    [
        (evaluation_preferences(2), "11 preferences: 2 corners, the centre, 8 inside"),
        (evaluation_preferences(3), "66 preferences: 3 corners, 3 mid-points of edges, 24 others on edges and faces, "),
        (evaluation_preferences(7), "71 preferences: 7 corners, the centre, 21 mid-points of edges, 42 inside"),
        (evaluation_preferences(40), "104 preferences: 40 corners, the centre, 32 mid-points of edges, 31 inside"),
        (torch.full((1, 5), 0.2), "1 preference: the centre"),
        ([[1, 0], [1.5, -0.5], [0, 0]], "3 preferences: 1 corner, 2 off the simplex"),
    ],
)
def test_a_set_of_preferences_in_words(preferences, expected):
    assert describe_preferences(preferences).startswith(expected)
