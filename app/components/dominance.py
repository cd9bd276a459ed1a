"""What one front dominates and another does not: the area between two staircases, and its size for any T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from palora_core.evaluation.front import Front
from palora_core.evaluation.indicators import hypervolume

# Beyond this number of tasks exact hypervolumes take too long for a page.
MOST_TASKS = 5

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Difference:
    """Hypervolumes of two fronts A and B.

    Attributes:
        first: of A.
        second: of B.
        only_first: volume that A dominates and B does not.
        only_second: the other way round.
    """

    first: float
    second: float
    only_first: float
    only_second: float


def difference(first: Front, second: Front, reference: Sequence[float]) -> Difference | None:
    """Volumes up to ``reference`` [T] that only one of the fronts dominates; None for too many tasks."""
    if len(reference) > MOST_TASKS:
        return None
    a, b = (hypervolume(front.objectives, reference) for front in (first, second))
    both = hypervolume(np.concatenate([first.objectives, second.objectives]), reference)
    return Difference(a, b, both - b, both - a)


def only_first(first: np.ndarray, second: np.ndarray, reference: Sequence[float]) -> list[Rectangle]:
    """The area that ``first`` [K, 2] dominates and ``second`` does not, as rectangles (left, right, low, high).

    Args:
        first: objectives, minimised.
        second: objectives, minimised.
        reference: where the area ends [2].
    """
    right, top = (float(v) for v in reference)
    edges = np.unique(np.concatenate([first[:, 0], second[:, 0], [right]]))
    edges = edges[np.isfinite(edges) & (edges <= right)]
    rectangles: list[Rectangle] = []
    for left, end in pairwise(edges.tolist()):
        low, high = _height(first, left, top), _height(second, left, top)
        if low < high:
            joined = rectangles and rectangles[-1][1] == left and rectangles[-1][2:] == (low, high)
            begin = rectangles.pop()[0] if joined else float(left)
            rectangles.append((begin, float(end), low, high))
    return rectangles


def area(rectangles: Sequence[Rectangle]) -> float:
    """Their area."""
    return sum((right - left) * (high - low) for left, right, low, high in rectangles)


def outline(rectangles: Sequence[Rectangle], flipped: bool = False) -> tuple[list[float | None], list[float | None]]:
    """Corners x and y of the rectangles, a gap after each, for one filled trace; ``flipped`` exchanges x and y."""
    x: list[float | None] = []
    y: list[float | None] = []
    for left, right, low, high in rectangles:
        x += [left, right, right, left, left, None]
        y += [low, low, high, high, low, None]
    return (y, x) if flipped else (x, y)


def _height(points: np.ndarray, x: float, top: float) -> float:
    """The lowest second objective among the points whose first is at most ``x``; the reference without any."""
    reached = points[points[:, 0] <= x, 1]
    return float(min(top, np.nanmin(reached))) if len(reached) and np.isfinite(reached).any() else top
