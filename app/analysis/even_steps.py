"""Sliders whose equal moves give equal changes along the front: a one-to-one map of the simplex onto itself."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np

from app.analysis.queries import partitions
from palora_core.evaluation.front import Front

# An edge counts at least this share of the mean one, so that every λ stays within reach where the front stands still.
FLOOR = 0.05


def even_steps(front: Front) -> dict[str, Any] | None:
    """Where each evaluated λ lies on the re-parameterised segment (T = 2) or triangle (T = 3).

    The evaluated λ's and the segments or triangles between them are a mesh. Think of its edges as springs of stiffness
    1/d, with d the distance of their two ends on the front (objectives scaled to their extents, so that no unit
    dominates). At rest a chain of such springs has lengths in proportion to d, which is arc length: this is where the
    λ's of two tasks go, and those on each side of the triangle. The inner λ's of the triangle then rest among fixed
    sides, each at the mean of its neighbours with weights 1/d. Such an embedding never folds (Tutte 1963; Floater
    1997), so with linear interpolation inside the cells the map is one-to-one; corners stay, sides stay sides.

    Returns:
        ``preferences`` [K, T], ``places`` [K, T] (both on the simplex) and ``cells`` (indices of the T corners of each
        segment or triangle); None for other T, for λ's that are no lattice (T = 3), and for a front of no extent.
    """
    preferences, num_tasks = front.preferences, front.preferences.shape[1]
    extent = np.ptp(front.objectives, axis=0)
    if len(preferences) <= num_tasks or not (np.isfinite(extent).all() and (extent > 0).all()):
        return None
    cells = cells_between(preferences)
    if not cells:
        return None
    edges = np.array(sorted({pair for cell in cells for pair in combinations(sorted(cell), 2)}))
    points = front.objectives / extent
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    lengths = np.maximum(lengths, FLOOR * lengths.mean())
    places = _at_rest(preferences, edges, 1 / lengths)
    return {"preferences": preferences.round(5).tolist(), "places": places.round(5).tolist(), "cells": cells}


def _at_rest(preferences: np.ndarray, edges: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
    """Places [K, T] of a mesh of springs: the sides between fixed corners, then the inside between fixed sides."""
    places = preferences.astype(float).copy()
    inside = (preferences > 1e-6).sum(1)  # how many tasks have a part: 1 at a corner, 2 on a side, 3 inside
    for level in range(2, preferences.shape[1] + 1):
        free = inside == level
        # A side rests by itself: springs that lead inwards do not pull it.
        felt = (inside[edges] <= level).all(1) & _on_one_face(preferences, edges, level)
        matrix = np.zeros((len(places), len(places)))
        for (a, b), weight in zip(edges[felt], stiffness[felt]):
            matrix[a, b] -= weight
            matrix[b, a] -= weight
            matrix[a, a] += weight
            matrix[b, b] += weight
        if free.any():
            known = matrix[np.ix_(free, ~free)] @ places[~free]
            places[free] = np.linalg.solve(matrix[np.ix_(free, free)], -known)
    return places


def _on_one_face(preferences: np.ndarray, edges: np.ndarray, level: int) -> np.ndarray:
    """Whether both ends of an edge lie on one face with ``level`` tasks."""
    parts = preferences > 1e-6
    return (parts[edges[:, 0]] | parts[edges[:, 1]]).sum(1) <= level


def cells_between(preferences: np.ndarray) -> list[list[int]]:
    """Segments or triangles between neighbouring λ's [K, T]; [] where there are none."""
    count, num_tasks = preferences.shape
    if num_tasks == 2:
        order = preferences[:, 1].argsort()
        ends = preferences[order[[0, -1]], 1]
        whole = np.allclose(ends, [0, 1], atol=1e-3) and (np.diff(preferences[order, 1]) > 1e-6).all()
        return [[int(a), int(b)] for a, b in pairwise(order)] if whole else []
    parts = partitions(count, num_tasks) if num_tasks == 3 else None
    if parts is None or not np.allclose(preferences * parts, np.round(preferences * parts), atol=1e-3):
        return []
    place = {tuple(row): k for k, row in enumerate(np.round(preferences * parts).astype(int)[:, :2].tolist())}
    upwards = [[(i, j), (i + 1, j), (i, j + 1)] for i, j in place]
    downwards = [[(i + 1, j + 1), (i + 1, j), (i, j + 1)] for i, j in place]
    return [[place[c] for c in cell] for cell in upwards + downwards if all(c in place for c in cell)]
