import itertools
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from palora_core.errors import UserError
from palora_core.evaluation import indicators
from palora_core.evaluation.indicators import alignment, hypervolume, nondominated, spearman, spread

FRONT = [[0.1, 0.9], [0.4, 0.5], [0.8, 0.2]]


def random_front(seed: int, points: int, objectives: int) -> np.ndarray:
    """Points around a sphere, so that many of them are not dominated."""
    rng = np.random.default_rng(seed)
    directions = np.abs(rng.normal(size=(points, objectives)))
    return 1.05 - directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(0.6, 1, (points, 1))


@pytest.fixture
def without_pymoo(monkeypatch):
    monkeypatch.setattr(indicators.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "pymoo.indicators.hv", None)


def test_hypervolume_by_hand():
    assert hypervolume(FRONT, [1, 1]) == pytest.approx(0.9 * 0.1 + 0.6 * 0.4 + 0.2 * 0.3)
    assert hypervolume([[0.25]], [1]) == pytest.approx(0.75)
    assert hypervolume([[0, 0, 0]], [2, 3, 4]) == pytest.approx(24)
    assert hypervolume([[0, 1, 1], [1, 0, 1], [1, 1, 0]], [2, 2, 2]) == pytest.approx(2 + 2 + 2 - 3 * 1 + 1)
    assert isinstance(hypervolume(FRONT, [1, 1]), float)


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
@pytest.mark.parametrize("points", [1, 2, 7, 15])
def test_hypervolume_equals_pymoos(objectives, points):
    from pymoo.indicators.hv import HV

    for seed in range(3):
        front = random_front(seed, points, objectives)
        expected = float(HV(ref_point=np.ones(objectives))(front))
        assert hypervolume(front, np.ones(objectives)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("objectives", [4, 5, 6])
def test_hypervolume_without_pymoo_is_the_same(objectives, monkeypatch):
    front = random_front(1, 12, objectives)
    expected = hypervolume(front, np.ones(objectives))
    monkeypatch.setattr(indicators.importlib.util, "find_spec", lambda name: None)
    assert hypervolume(front, np.ones(objectives)) == pytest.approx(expected, rel=1e-9)
    assert expected > 0


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.usefixtures("without_pymoo")
def test_hypervolume_invariances(objectives):
    front, reference = random_front(5, 9, objectives), np.ones(objectives)
    volume = hypervolume(front, reference)
    assert volume > 0
    shift = np.arange(objectives) - 3.5
    assert hypervolume(front + shift, reference + shift) == pytest.approx(volume)
    assert hypervolume(front * 3, reference * 3) == pytest.approx(volume * 3**objectives)
    for order in itertools.permutations(range(objectives)):
        assert hypervolume(front[:, list(order)], reference) == pytest.approx(volume)
    assert hypervolume(front[::-1], reference) == pytest.approx(volume)
    assert hypervolume(np.concatenate([front, front[:3]]), reference) == pytest.approx(volume)
    dominated = front + (1 - front) * 0.3
    assert hypervolume(np.concatenate([front, dominated]), reference) == pytest.approx(volume)
    better = front.min(axis=0, keepdims=True) - 0.01
    assert hypervolume(np.concatenate([front, better]), reference) > volume
    assert hypervolume(front, reference + 1) > volume


@given(
    st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=8),
    st.integers(2, 3),
)
@settings(max_examples=80, deadline=None)
def test_hypervolume_counts_the_cells_of_integer_fronts(rows, objectives):
    front = np.array(rows)[:, :objectives]
    cells = np.array(list(itertools.product(range(4), repeat=objectives)))
    covered = (front[:, None, :] <= cells[None]).all(axis=2).any(axis=0).sum()
    assert hypervolume(front, [4] * objectives) == pytest.approx(covered)


@pytest.mark.parametrize(
    "outside", [[1.5, 0.1], [1.0, 0.1], [0.1, 1.0], [math.nan, 0.1], [math.inf, 0.1], [-math.inf, 0.1]]
)
def test_points_outside_the_reference_contribute_nothing(outside):
    assert hypervolume([outside], [1, 1]) == 0
    assert hypervolume([*FRONT, outside], [1, 1]) == pytest.approx(hypervolume(FRONT, [1, 1]))


def test_hypervolume_of_nothing_is_zero():
    assert hypervolume(np.empty((0, 3)), [1, 1, 1]) == 0


@pytest.mark.parametrize("reference", [[1], [1, 1, 1], [1, math.nan], [math.inf, 1]])
def test_hypervolume_needs_a_reference_per_objective(reference):
    with pytest.raises(UserError, match="expected 2 finite numbers, one per objective"):
        hypervolume(FRONT, reference)


def test_a_front_is_a_table():
    with pytest.raises(UserError, match=r"expected \[K, T\]"):
        hypervolume([1.0, 2.0], [3.0, 3.0])


def test_nondominated_keeps_duplicates_and_drops_nan():
    points = [[1, 3], [2, 2], [2, 2], [3, 3], [1, 4], [math.nan, 0]]
    assert nondominated(points).tolist() == [True, True, True, False, False, False]
    assert nondominated(np.empty((0, 2))).tolist() == []


@pytest.mark.parametrize("objectives", [1, 2, 3, 5])
def test_nondominated_follows_the_definition(objectives):
    points = np.random.default_rng(objectives).integers(0, 4, size=(25, objectives))

    def dominates(a, b):
        return all(x <= y for x, y in zip(a, b)) and any(x < y for x, y in zip(a, b))

    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert nondominated(points).tolist() == expected


@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(-1, 1)), min_size=3, max_size=12))
@settings(max_examples=80, deadline=None)
def test_spearman_equals_scipys_with_ties(pairs):
    a, b = np.array(pairs, dtype=float).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert math.isnan(spearman(a, b))
    else:
        assert spearman(a, b) == pytest.approx(float(stats.spearmanr(a, b).statistic), abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [([1, 1, 1], [1, 2, 3]), ([1], [2]), ([], []), ([1, math.nan, 3], [1, 2, 3])])
def test_spearman_is_nan_where_it_is_not_defined(a, b):
    assert math.isnan(spearman(a, b))


def test_spearman_needs_pairs():
    with pytest.raises(UserError, match="cannot correlate 2 values with 3"):
        spearman([1, 2], [1, 2, 3])


def test_alignment_is_minus_one_when_every_loss_falls_with_its_weight():
    preferences = torch.tensor([[1.0, 0.0], [0.7, 0.3], [0.2, 0.8], [0.0, 1.0]])
    losses = torch.stack([1 / (0.1 + preferences[:, 0]), torch.tensor([0.1, 0.2, 0.4, 0.3])], dim=1)
    aligned = alignment(preferences, losses.requires_grad_())
    assert aligned == pytest.approx([-1.0, 0.8])
    assert all(isinstance(value, float) for value in aligned)
    with pytest.raises(UserError, match="expected the same"):
        alignment(preferences, losses[:2])


def test_spread_leaves_dominated_points_out():
    assert spread([*FRONT, [5, 5], [0.9, 0.9]]) == pytest.approx([0.7, 0.7])
    assert spread([[1, 2, 3]]) == [0, 0, 0]
    assert all(math.isnan(value) for value in spread([[math.nan, 1.0]]))


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_arguments_may_be_lists_arrays_or_tensors(kind):
    assert hypervolume(kind(FRONT), kind([1.0, 1.0])) == pytest.approx(0.39)
    assert spread(kind(FRONT)) == pytest.approx([0.7, 0.7])
    assert spearman(kind([1.0, 2.0, 3.0]), kind([3.0, 2.0, 1.0])) == pytest.approx(-1)


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_sampled_hypervolume_is_close_to_the_exact_one(tasks):
    points = np.random.default_rng(tasks).random((24, tasks))
    worst = np.full(tasks, 1.1)
    assert indicators._volume_by_sampling(points, worst) == pytest.approx(hypervolume(points, worst), rel=0.03)


def test_hypervolume_of_forty_objectives_is_estimated_and_repeats():
    points = np.random.default_rng(0).random((70, 40))
    first = hypervolume(points, np.full(40, 1.5))
    assert 0 < first < 1.5**40
    assert first == hypervolume(points, np.full(40, 1.5))
    assert first >= np.prod(1.5 - points, axis=1).max()
