"""Indicators of a front: hypervolume, dominance, rank correlation with the preference, extent and gaps.

All objectives are minimised. Arguments may be tensors, arrays or nested lists; results are Python floats.
"""

import bisect
import importlib.util
import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from palora_core.errors import UserError

Numbers = Tensor | np.ndarray | Sequence[Sequence[float]] | Sequence[float]


BLOCK = 512  # points that are compared with all others at a time
MOST_EXACT = 8  # objectives; 7 take 0.04 s for 70 points, 10 seven seconds, 12 minutes
# Objectives → points whose exact volume takes at most about three seconds.
MOST_POINTS_EXACT = {4: 20_000, 5: 8_000, 6: 500, 7: 200, 8: 100}
COMPARISONS = 100_000_000  # of a sampled volume


def hypervolume(objectives: Numbers, reference: Numbers) -> float:
    """Volume dominated by a front and bounded by a reference point (Zitzler & Thiele, 1999).

    Points that are not better than the reference in every objective, or not finite, contribute nothing. Exact up to
    eight objectives (and ``MOST_POINTS_EXACT`` points); beyond, exact volumes take minutes to hours and an estimate is
    returned, see :func:`_volume_by_sampling`.

    Args:
        objectives: Front [K, T], minimised.
        reference: Worst point of interest [T].

    Returns:
        The volume, 0 for an empty front.
    """
    points = _table(objectives)
    worst = np.asarray(_array(reference), dtype=np.float64).reshape(-1)
    if len(worst) != points.shape[1] or not np.isfinite(worst).all():
        wanted = f"expected {points.shape[1]} finite numbers, one per objective"
        raise UserError(f"the reference is {worst.tolist()}; {wanted}")
    points = points[np.isfinite(points).all(axis=1) & (points < worst).all(axis=1)]
    points = np.unique(points[nondominated(points)], axis=0)
    if len(points) == 0:
        return 0.0
    if len(worst) <= 3:
        return _volume_by_sweep(points, worst)
    if len(worst) > MOST_EXACT or len(points) > MOST_POINTS_EXACT[len(worst)]:
        return _volume_by_sampling(points, worst)
    if importlib.util.find_spec("pymoo") is not None:
        from pymoo.indicators.hv import HV

        return float(HV(ref_point=worst)(points))
    return _volume_by_exclusion(points, worst)


def nondominated(objectives: Numbers) -> np.ndarray:
    """Which points no other point dominates: bool [K].

    A point dominates another if it is at least as good in every objective and better in one, so of equal points all
    are kept. Points that hold NaN are not in the set.

    Args:
        objectives: Front [K, T], minimised.
    """
    points = _table(objectives)
    kept = np.zeros(len(points), dtype=bool)
    kept[_undominated(points, np.flatnonzero(~np.isnan(points).any(axis=1)))] = True
    return kept


def _undominated(points: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Indices of the points that no other one of ``among`` dominates, in O(K · block) memory.

    In lexicographic order only earlier points can dominate later ones, and a point that is dominated is dominated by
    one that is not: blocks of points are compared with those kept so far and with each other.
    """
    order = among[np.lexsort(points[among].T[::-1])]
    kept = np.empty(0, dtype=int)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        block = block[~_dominated(points[block], points[kept])]
        kept = np.concatenate([kept, block[~_dominated(points[block], points[block])]])
    return kept


def _dominated(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of ``points`` [B, T] any of ``others`` [K, T] dominates: bool [B]."""
    no_worse = np.ones((len(points), len(others)), dtype=bool)
    better = np.zeros_like(no_worse)
    for mine, theirs in zip(points.T, others.T):
        no_worse &= theirs <= mine[:, None]
        better |= theirs < mine[:, None]
    return np.asarray((no_worse & better).any(axis=1))


def spearman(first: Numbers, second: Numbers) -> float:
    """Spearman's rank correlation in [-1, 1], tied values sharing their average rank.

    NaN where it is not defined: fewer than two values, a constant argument, or a NaN among the values.

    Args:
        first: Values [K].
        second: Values [K].
    """
    a, b = _array(first).reshape(-1), _array(second).reshape(-1)
    if len(a) != len(b):
        raise UserError(f"cannot correlate {len(a)} values with {len(b)}; expected as many of both")
    if len(a) < 2 or np.isnan(a).any() or np.isnan(b).any():
        return math.nan
    ranks_a, ranks_b = _ranks(a) - (len(a) + 1) / 2, _ranks(b) - (len(b) + 1) / 2
    scale = math.sqrt(float(ranks_a @ ranks_a) * float(ranks_b @ ranks_b))
    return float(ranks_a @ ranks_b) / scale if scale > 0 else math.nan


def alignment(preferences: Numbers, objectives: Numbers) -> list[float]:
    """How well each objective follows its weight: Spearman's correlation of λ_t and L_t over the front, one per task.

    -1 is perfect: the more weight, the lower the loss.

    Args:
        preferences: [K, T].
        objectives: [K, T], minimised.
    """
    weights, losses = _table(preferences), _table(objectives)
    if weights.shape != losses.shape:
        raise UserError(f"preferences are {weights.shape} and objectives {losses.shape}; expected the same [K, T]")
    return [spearman(weights[:, task], losses[:, task]) for task in range(weights.shape[1])]


def spread(objectives: Numbers) -> list[float]:
    """Extent, maximum - minimum, of every objective over the non-dominated points; NaN without any.

    Args:
        objectives: Front [K, T], minimised.
    """
    points = _table(objectives)
    points = points[nondominated(points)]
    if len(points) == 0:
        return [math.nan] * points.shape[1]
    return [float(extent) for extent in points.max(axis=0) - points.min(axis=0)]


def _volume_by_sweep(points: np.ndarray, worst: np.ndarray) -> float:
    """Sweep along the last objective over a staircase of the others. T ≤ 3, O(K log K) comparisons."""
    if points.shape[1] == 1:
        return float(worst[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    if points.shape[1] == 2:
        # The staircase: every point adds the strip between its first objective and the best one so far.
        best = np.minimum.accumulate(np.concatenate([worst[:1], points[:, 0]]))
        return float(((best[:-1] - best[1:]) * (worst[1] - points[:, 1])).sum())
    stairs, volume, area = _Staircase(float(worst[0]), float(worst[1])), 0.0, 0.0
    heights = np.diff(np.append(points[:, -1], worst[-1]))
    for (x, y, _), height in zip(points.tolist(), heights.tolist()):
        area += stairs.add(x, y)
        volume += height * area
    return volume


class _Staircase:
    """The area that points of two objectives dominate up to (right, top), one point after the other."""

    def __init__(self, right: float, top: float) -> None:
        self.x, self.y = [-math.inf, right], [top, -math.inf]  # x rises, y falls; the ends stand for the reference

    def add(self, x: float, y: float) -> float:
        """Put in a point that is better than the reference in both; returns the area it adds."""
        place = bisect.bisect_left(self.x, x)
        before = self.y[place] if self.x[place] == x else self.y[place - 1]
        if before <= y:  # a step at or left of it is as low
            return 0.0
        added, end, left, height = 0.0, place, x, self.y[place - 1]
        while self.y[end] >= y:  # the steps that it covers
            added += (self.x[end] - left) * (height - y)
            left, height, end = self.x[end], self.y[end], end + 1
        added += (self.x[end] - left) * (height - y)
        self.x[place:end], self.y[place:end] = [x], [y]
        return added


def _volume_by_sampling(points: np.ndarray, worst: np.ndarray, samples: int = 20_000) -> float:
    """Unbiased estimate of a union of boxes (Karp & Luby, 1983), from a fixed seed: same front, same number.

    A box is drawn in proportion to its volume and a point in it uniformly; the mean of 1 / (number of boxes that hold
    the point), times the sum of the volumes, is the volume of the union. Relative error at most √(K / samples), 6 %
    for 64 points, and far less where boxes overlap, as those of a front do.
    """
    rng = np.random.default_rng(0)
    samples = min(samples, max(1000, COMPARISONS // len(points)))
    sizes = worst - points
    volumes = np.prod(sizes, axis=1)
    chosen = rng.choice(len(points), samples, p=volumes / volumes.sum())
    total = 0.0
    for part in np.array_split(chosen, max(1, samples * points.size // 10_000_000)):
        drawn = points[part] + rng.random((len(part), len(worst))) * sizes[part]
        total += float((1 / (drawn[:, None, :] >= points[None]).all(axis=2).sum(axis=1)).sum())
    return float(volumes.sum() * total / samples)


def _volume_by_exclusion(points: np.ndarray, worst: np.ndarray) -> float:
    """Sum over points of the volume that the later ones do not share (WFG; While, Bradstreet & Barone, 2012)."""
    points = points[np.argsort(-points[:, 0], kind="stable")]
    total = 0.0
    for index, point in enumerate(points):
        shared = np.unique(np.maximum(points[index + 1 :], point), axis=0)
        total += float(np.prod(worst - point))
        if len(shared):
            total -= _volume_by_exclusion(shared[nondominated(shared)], worst)
    return total


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, averaged over ties: [K]."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place.reshape(-1)]


def _array(values: Numbers) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def _table(values: Numbers) -> np.ndarray:
    table = _array(values)
    if table.ndim != 2:
        raise UserError(f"a front has the shape {list(table.shape)}; expected [K, T], a row per point")
    return table
