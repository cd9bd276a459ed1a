"""Limits, trade-offs and the knee, against brute force on grids: nothing is said that the front does not hold."""

import numpy as np
import pytest

from app.analysis import limits, trade_offs
from app.analysis.queries import Column, Wish, find, interpolate
from palora_core.evaluation.front import Front
from palora_core.objectives import Metric
from palora_core.simplex import simplex_lattice

NAMES = ("a", "b", "c", "d")
UP, DOWN = Metric("score", "score", "%", True), Metric("err", "error", "m", False)


def made(num_tasks: int, parts: int = 6, seed: int = 0) -> tuple[Front, list[Column]]:
    """A front whose task t is better towards its corner, with noise; scores and errors in turn."""
    preferences = simplex_lattice(num_tasks, parts).double().numpy()
    rng = np.random.default_rng(seed)
    good = np.sqrt(preferences) + rng.normal(0, 0.03, preferences.shape)
    values = [0.5 + 0.4 * g if t % 2 == 0 else 2 - g for t, g in enumerate(good.T)]
    metrics = [UP if t % 2 == 0 else DOWN for t in range(num_tasks)]
    tasks = NAMES[:num_tasks]
    columns = [Column(f"{name}/{m.name}", name, m, v) for name, m, v in zip(tasks, metrics, values)]
    return Front(preferences, 2 - good, {c.key: c.values for c in columns}, tasks, (3.0,) * num_tasks), columns


def inside(part: np.ndarray, point: np.ndarray) -> bool:
    """Whether λ lies in a segment or convex polygon of λ's."""
    if part.shape[1] == 2:
        return part[:, 1].min() - 1e-9 <= point[1] <= part[:, 1].max() + 1e-9
    edges = np.roll(part, -1, 0)[:, :2] - part[:, :2]
    to = point[:2] - part[:, :2]
    cross = edges[:, 0] * to[:, 1] - edges[:, 1] * to[:, 0]
    return bool((cross >= -1e-9).all() or (cross <= 1e-9).all())


@pytest.mark.parametrize("num_tasks", [2, 3])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_shaded_part_is_what_meets_the_limits(num_tasks, share, seed):
    front, columns = made(num_tasks, seed=seed)
    wishes = [Wish(c, float(np.quantile(c.values, 1 - share if c.metric.higher_is_better else share))) for c in columns]
    parts = limits.feasible_part(front, wishes)
    for at in np.random.default_rng(2).dirichlet(np.ones(num_tasks), 120):
        slacks = [limits.slack(w, interpolate(front.preferences, w.column.values, at))[0] for w in wishes]
        if min(abs(s) for s in slacks) > 1e-6:
            assert any(inside(part, at) for part in parts) == (min(slacks) > 0), at
    met = [
        all(limits.slack(w, w.column.values[k : k + 1])[0] >= -1e-9 for w in wishes)
        for k in range(len(front.preferences))
    ]
    assert limits.meets(wishes).tolist() == met


def test_more_than_three_tasks_have_points_but_no_polygons():
    front, columns = made(4)
    wishes = [Wish(columns[0], 0.6)]
    assert limits.feasible_part(front, wishes) == [] and limits.meets(wishes).any() and not limits.meets(wishes).all()


@pytest.mark.parametrize("num_tasks", [2, 3, 4])
def test_limits_that_cannot_be_met_say_which_and_by_how_much(num_tasks):
    front, columns = made(num_tasks)
    wishes = [Wish(c, float(c.values.max() if c.metric.higher_is_better else c.values.min())) for c in columns]
    answer = find(front, wishes, columns[0])
    assert not answer.feasible
    for conflict in limits.conflicts(front, wishes, answer):
        value = answer.values[conflict.wish.column.key]
        assert conflict.missed == pytest.approx(
            max(0.0, -float(limits.slack(conflict.wish, np.array([value]))[0])), abs=1e-6
        )
    words = limits.sentence(front, wishes, answer, columns[0])
    assert words.startswith(f"No preference meets all {num_tasks} limits") and " points" in words and " m" in words


def test_a_limit_that_stands_alone_in_the_way_is_told_what_it_can_be():
    front, columns = made(2)
    wishes = [Wish(columns[0], float(columns[0].values.max())), Wish(columns[1], float(columns[1].values.min()))]
    found = limits.conflicts(front, wishes, find(front, wishes, columns[0]))
    best = find(front, [wishes[1]], columns[0]).values[columns[0].key]
    assert found[0].reachable == best
    assert UP.format(best) in limits.sentence(front, wishes, find(front, wishes, columns[0]), columns[0])


def test_what_is_said_of_a_point_is_true_of_it():
    front, columns = made(2)
    wish = Wish(columns[0], float(interpolate(front.preferences, columns[0].values, [0.5, 0.5])[0]))
    assert limits.here(front, [wish], [0.5, 0.5]).startswith(f"This λ meets the limit; {wish} binds")
    assert "misses a score ≥" in limits.here(front, [Wish(columns[0], 0.99)], [0.5, 0.5])
    assert limits.here(front, [], [0.5, 0.5]) == ""


@pytest.mark.parametrize("num_tasks", [2, 3, 4])
def test_exchanges_are_those_of_the_front(num_tasks):
    front, columns = made(num_tasks)
    at = np.full(num_tasks, 1 / num_tasks)
    found = trade_offs.exchanges(front, columns, at)
    assert [exchange.gained for exchange in found] == columns
    for t, exchange in enumerate(found):
        there = at + trade_offs.STEP * (np.eye(num_tasks)[t] - at)
        for column, worse in [(exchange.gained, -exchange.gain), *exchange.costs]:
            before, after = interpolate(front.preferences, column.values, np.array([at, there]))
            sign = 1 if column.metric.higher_is_better else -1
            assert worse == pytest.approx(sign * (before - after))
    assert len(trade_offs.exchanges(front, columns, np.eye(num_tasks)[0])) == num_tasks - 1, "a corner is the end"


def test_an_exchange_in_words():
    _, (score, error) = made(2)
    told = trade_offs.told(trade_offs.Exchange(score, 0.02, ((error, 0.016),)))
    assert told == "One point more of a score costs 0.008 m of b error."
    assert trade_offs.told(trade_offs.Exchange(error, 0.1, ((score, -0.05),))).startswith(
        "0.02 m less b error costs hardly anything"
    )
    assert "hardly gets better" in trade_offs.told(trade_offs.Exchange(score, 0.0, ((error, 0.016),)))


def test_the_knee_of_a_bent_front_is_its_bend():
    preferences = simplex_lattice(2, 20).double().numpy()
    bent = np.stack(
        [np.minimum(1.0, 2.5 * preferences[:, 0]), np.minimum(1.0, 1.0 * (1.4 - preferences[:, 0]) / 1.0)], 1
    )
    columns = [Column(f"{n}/score", n, UP, v) for n, v in zip("ab", bent.T)]
    front = Front(preferences, 1 - bent, {c.key: c.values for c in columns}, ("a", "b"), (2.0, 2.0))
    assert trade_offs.knee(front, columns) == pytest.approx((0.4, 0.6), abs=0.01)


def test_as_good_but_better_dominates():
    preferences = simplex_lattice(2, 10).double().numpy()
    wavy = 0.5 + 0.4 * preferences[:, 0]
    error = np.where(np.arange(11) == 4, 1.5, 1.0 + 0.01 * preferences[:, 0])  # one point is much worse in b alone
    columns = [Column("a/score", "a", UP, wavy), Column("b/err", "b", DOWN, error)]
    front = Front(
        preferences, np.stack([1 - wavy, error], 1), {c.key: c.values for c in columns}, ("a", "b"), (2.0, 2.0)
    )
    answer = trade_offs.as_good_but(front, columns, preferences[4], columns[1])
    assert answer is not None and answer.values["a/score"] >= wavy[4] - 1e-6 and answer.values["b/err"] < 1.2
    assert trade_offs.as_good_but(front, columns, preferences[10], columns[1]) is None, (
        "nothing has as much of a for less b"
    )
