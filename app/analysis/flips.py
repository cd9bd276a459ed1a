"""Where on the pad the decision about one input flips: points of a segment of λ's, lines in a triangle of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palora_core.simplex import simplex_lattice

PARTS = {2: 50, 3: 20}  # steps of the lattice of λ's that are asked; of more objectives there is no pad

Point = np.ndarray  # λ [T]


@dataclass(frozen=True)
class Flips:
    """What one decision is, λ by λ.

    Attributes:
        marks: where it flips: [λ] for two objectives, [λ, λ] (a piece of a line) for three.
        shares: class → share of the λ's that decide for it, the commonest first.
    """

    marks: list[list[list[float]]]
    shares: dict[int, float]

    def told(self, name: str, classes: Sequence[str]) -> str:
        """ "income flips at λ = (0.42, 0.58)" for people."""
        names = {c: str(classes[c]) if c < len(classes) else str(c) for c in self.shares}
        first = next(iter(self.shares))
        if len(self.shares) == 1:
            return f"{name} is {names[first]} at every λ"
        if self.marks and all(len(mark) == 1 for mark in self.marks) and len(self.marks) <= 3:
            places = [f"({', '.join(f'{v:.2f}' for v in mark[0])})" for mark in self.marks]
            return f"{name} flips at λ = {' and '.join(places)}"
        told = ", ".join(f"{names[c]} at {100 * share:.0f} %" for c, share in self.shares.items())
        return f"{name} is {told} of the pad's λ; the line is where it flips"


def flips(network: Callable[[Any, Tensor], Any], x: Any, logits: Callable[[Any], Tensor], tasks: int) -> Flips | None:
    """The flips of one input's decision; None where there is no pad, or no number.

    Args:
        network: (input [1, …], λ) → outputs.
        x: the input.
        logits: outputs → logits [C] of which the largest is the decision.
        tasks: T.
    """
    if tasks not in PARTS:
        return None
    lattice = simplex_lattice(tasks, PARTS[tasks])
    with torch.inference_mode():
        values = torch.stack([logits(network(x, preference)).double() for preference in lattice]).numpy()
    if not np.isfinite(values).all():
        return None  # whoever asks for a prediction there is told
    found = values.argmax(1)
    counts = {int(c): float((found == c).mean()) for c in np.unique(found)}
    points = lattice.double().numpy()
    marks = [mark for cell in _cells(points, PARTS[tasks]) for mark in _marks(cell, points, values, found)]
    shares = dict(sorted(counts.items(), key=lambda item: -item[1]))
    return Flips([[point.round(4).tolist() for point in mark] for mark in marks], shares)


def _cells(points: np.ndarray, parts: int) -> list[tuple[int, ...]]:
    """Neighbouring λ's of the lattice: pairs of a segment, triangles of a triangle."""
    counts = np.round(points * parts).astype(int)
    place = {tuple(row): k for k, row in enumerate(counts.tolist())}
    steps = np.eye(points.shape[1], dtype=int)
    found = []
    for row in counts:
        # A cell has the corners row + steps (row one part short of the simplex), or row − steps (one beyond it).
        for cell in (row - steps[0] + steps, row + steps[0] - steps):
            known = [place.get(tuple(corner)) for corner in cell.tolist()]
            if None not in known:
                found.append(tuple(sorted(known)))  # type: ignore[type-var]
    return list(dict.fromkeys(found))  # type: ignore[arg-type]


def _marks(cell: tuple[int, ...], points: np.ndarray, values: np.ndarray, found: np.ndarray) -> list[list[Point]]:
    """Where decisions change in a cell: its own corner points are decided for different classes."""
    crossings = []
    for a, b in combinations(cell, 2):
        if found[a] != found[b]:
            ahead = [values[k, found[a]] - values[k, found[b]] for k in (a, b)]  # ≥ 0 at a, ≤ 0 at b
            share = ahead[0] / max(ahead[0] - ahead[1], 1e-12)
            crossings.append(points[a] + share * (points[b] - points[a]))
    if len(cell) == 2:
        return [[crossing] for crossing in crossings]
    if len(crossings) == 3:  # three classes meet
        centre = np.mean(crossings, axis=0)
        return [[crossing, centre] for crossing in crossings]
    return [crossings] if crossings else []
