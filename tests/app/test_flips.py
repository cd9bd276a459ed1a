"""Where a decision flips along the pad."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.analysis.flips import PARTS, _cells, flips
from palora_core.simplex import simplex_lattice


def of(tasks, function):
    return flips(lambda x, preference: function(preference), None, lambda outputs: outputs, tasks)


@pytest.mark.parametrize("tasks", [2, 3])
def test_cells_tile_the_simplex(tasks):
    parts = PARTS[tasks]
    points = simplex_lattice(tasks, parts).double().numpy()
    cells = _cells(points, parts)
    assert len(cells) == parts ** (tasks - 1) and len(set(cells)) == len(cells)
    for cell in cells:
        assert len(cell) == tasks
        apart = [np.abs(points[a] - points[b]).sum() for a in cell for b in cell if a != b]
        assert np.allclose(apart, 2 / parts)


def test_a_flip_on_a_segment_is_found_between_the_steps():
    found = of(2, lambda p: torch.stack([p[0], torch.tensor(0.437)]))
    assert len(found.marks) == 1 and found.marks[0][0] == pytest.approx([0.437, 0.563], abs=1e-4)
    assert found.told("income", ("no", "yes")) == "income flips at λ = (0.44, 0.56)"
    assert sum(found.shares.values()) == pytest.approx(1) and list(found.shares) == [0, 1]


def test_a_decision_that_never_flips_says_so():
    found = of(2, lambda p: torch.tensor([0.0, 1.0]))
    assert found.marks == [] and found.told("income", ("no", "yes")) == "income is yes at every λ"


def test_the_line_in_a_triangle_is_where_two_classes_are_level():
    found = of(3, lambda p: torch.stack([p[0], 0.3 + 0.2 * p[1]]))
    ends = np.array([end for mark in found.marks for end in mark])
    assert len(ends) > 20 and np.allclose(ends[:, 0], 0.3 + 0.2 * ends[:, 1], atol=1e-3)
    assert np.allclose(ends.sum(1), 1, atol=1e-3) and (ends >= -1e-6).all()
    assert "of the pad's λ; the line is where it flips" in found.told("income", ("no", "yes"))


def test_three_classes_meet_in_a_point():
    found = of(3, lambda p: p)
    ends = np.array([end for mark in found.marks for end in mark])
    level = np.sort(ends, axis=1)[:, ::-1]
    apart = level[:, 0] - level[:, 1]
    assert (apart < 1e-3).mean() > 0.9 and apart.max() < 1 / PARTS[3], "off the lines only where all three meet"
    assert len(found.shares) == 3
    assert np.abs(ends - 1 / 3).sum(1).min() < 0.05


def test_without_a_pad_or_a_number_there_is_nothing():
    assert of(4, lambda p: p) is None
    assert of(2, lambda p: torch.tensor([float("nan"), 0.0])) is None
