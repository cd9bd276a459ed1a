"""Questions for people who cannot say numbers: which of these two? A dozen answers give a λ, and how sure it is.

Bradley and Terry (1952): of two trade-offs, the one with the higher utility is chosen with probability σ(u₁ − u₂).
The utility is linear in the figures, each scaled from its worst (0) to its best (1) on the front, with a Gaussian prior
around equal weights; the posterior is a Gaussian around its mode (Laplace). Weights drawn from it each have a best λ:
where these lie is the answer, and how far apart they lie is its uncertainty. On a concave part of a front a linear
utility has its best at an end, which the spread then shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from app.analysis.queries import Column, candidates_of, interpolate
from palora_core.evaluation.front import Front

QUESTIONS = 12
PRIOR = 3.0  # standard deviation of a weight
SCALE = 4.0  # utility between the worst and the best of one figure at equal weights
DRAWS = 300
POOL = 120  # preferences that questions are made of


@dataclass(frozen=True)
class Reply:
    """One answer: ``chosen`` was liked better than ``other``, or as much (``same``); both λ [T]."""

    chosen: tuple[float, ...]
    other: tuple[float, ...]
    same: bool = False


@dataclass(frozen=True)
class Liking:
    """What the answers so far say.

    Attributes:
        preference: the λ [T] that is liked best.
        spread: per weight of λ, the half-width of the interval that holds four fifths of the draws [T].
        weights: of the figures, their mean over the posterior [C].
    """

    preference: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]


class Interview:
    """Chooses questions and reads answers about one front.

    Args:
        front: the evaluated front, T ≥ 2.
        columns: C figures that the utility is made of.
        seed: of the draws.
    """

    def __init__(self, front: Front, columns: Sequence[Column], seed: int = 0) -> None:
        self.front, self.columns, self.seed = front, tuple(columns), seed
        self.at = candidates_of(front)
        self._ends = [(np.nanmin(c.values), np.ptp(c.values) or 1.0) for c in columns]
        self._scaled = self.scaled(self.at)

    def scaled(self, at: np.ndarray) -> np.ndarray:
        """The figures at λ's [N, T], from worst (0) to best (1): [N, C]."""
        found = []
        for column, (low, extent) in zip(self.columns, self._ends):
            share = (interpolate(self.front.preferences, column.values, at) - low) / extent
            found.append(share if column.metric.higher_is_better else 1 - share)
        return np.stack(found, 1)

    def draws(self, replies: Sequence[Reply]) -> np.ndarray:
        """Weights [DRAWS, C] from the posterior after some answers."""
        differences, halves = self._differences(replies)
        count = len(self.columns)
        mean = np.full(count, SCALE)

        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            margin = differences @ w
            chance = expit(margin)
            value = -(halves * np.log(chance + 1e-12) + (1 - halves) * np.log(1 - chance + 1e-12)).sum()
            gradient = differences.T @ (chance - halves) + (w - mean) / PRIOR**2
            return float(value + 0.5 * ((w - mean) ** 2).sum() / PRIOR**2), gradient

        mode = minimize(loss, mean, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * count).x
        chance = expit(differences @ mode)
        curvature = differences.T @ (differences * (chance * (1 - chance))[:, None]) + np.eye(count) / PRIOR**2
        drawn = np.random.default_rng(self.seed).multivariate_normal(mode, np.linalg.inv(curvature), size=DRAWS)
        return np.maximum(drawn, 0.0)

    def _differences(self, replies: Sequence[Reply]) -> tuple[np.ndarray, np.ndarray]:
        if not replies:
            return np.zeros((0, len(self.columns))), np.zeros(0)
        pairs = np.array([[reply.chosen, reply.other] for reply in replies])
        rows = self.scaled(pairs[:, 0]) - self.scaled(pairs[:, 1])
        return rows, np.array([0.5 if reply.same else 1.0 for reply in replies])

    def liking(self, replies: Sequence[Reply]) -> Liking:
        """The λ that is liked best, with its uncertainty."""
        weights = self.draws(replies)
        best = self.at[(weights @ self._scaled.T).argmax(1)]
        mean = weights.mean(0)
        there = self.at[int((self._scaled @ mean).argmax())]
        low, high = np.quantile(best, [0.1, 0.9], axis=0)
        spread = tuple(float(v) for v in ((high - low) / 2).round(4))
        return Liking(tuple(float(v) for v in there.round(4)), spread, tuple(float(v) for v in mean))

    def question(self, replies: Sequence[Reply]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The pair whose answer tells most: draws disagree on it though each is sure of it (Houlsby et al., 2011)."""
        weights = self.draws(replies)
        pool = self._pool(weights, len(replies))
        utility = weights @ self.scaled(pool).T
        first, second = np.triu_indices(len(pool), 1)
        chance = expit(utility[:, first] - utility[:, second])
        gain = _entropy(chance.mean(0)) - _entropy(chance).mean(0)
        asked = {frozenset((reply.chosen, reply.other)) for reply in replies}
        for place in np.argsort(-gain):
            pair = tuple(tuple(float(v) for v in pool[i].round(4)) for i in (first[place], second[place]))
            if frozenset(pair) not in asked:
                return pair[0], pair[1]
        return pair[0], pair[1]

    def _pool(self, weights: np.ndarray, number: int) -> np.ndarray:
        """Preferences to ask about: what some draw likes best, and a few of all others."""
        liked = (weights @ self._scaled.T).argmax(1)
        rng = np.random.default_rng(self.seed + number)
        others = rng.choice(len(self.at), min(POOL // 2, len(self.at)), replace=False)
        chosen = np.unique(np.concatenate([liked, others]))
        return self.at[chosen if len(chosen) <= POOL else rng.choice(chosen, POOL, replace=False)]


def _entropy(chance: np.ndarray) -> np.ndarray:
    p = np.clip(chance, 1e-9, 1 - 1e-9)
    return -(p * np.log(p) + (1 - p) * np.log(1 - p))
