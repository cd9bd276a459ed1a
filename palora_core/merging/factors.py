"""Matrices as products B A: exact ones without any loss, or the best of low rank to a chosen error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

NOISE = 1e-12  # of the largest singular value; below it are rounding errors of float64


@dataclass(frozen=True)
class Factors:
    """The matrix ``up`` @ ``down``.

    Attributes:
        up: B [rows, r].
        down: A [r, columns].
    """

    up: Tensor
    down: Tensor

    @property
    def rank(self) -> int:
        """r."""
        return len(self.down)


def exact_factors(matrix: Tensor) -> Factors:
    """A matrix [rows, columns] as itself times a unit matrix, without rounding: r is the smaller side.

    The factors have about the same size, a power of two away from it, so that both learn at one rate.
    """
    rows, columns = matrix.shape
    side = min(rows, columns)
    size = float(matrix.double().norm()) / math.sqrt(side)
    balance = 2.0 ** round(math.log2(size) / 2) if size > 0 else 1.0
    unit = balance * torch.eye(side, dtype=matrix.dtype, device=matrix.device)
    return Factors(unit, matrix / balance) if rows <= columns else Factors(matrix / balance, unit)


def low_rank_factors(matrix: Tensor, rank: int | None = None, error: float | None = None) -> Factors:
    """The best approximation of a matrix [rows, columns], by its singular value decomposition.

    Args:
        matrix: in any format; computed in float64.
        rank: r, or less where the matrix has less.
        error: the smallest r whose relative error ‖M − BA‖ / ‖M‖ (Frobenius) is at most this, in place of ``rank``.

    Returns:
        Factors that share the singular values; the exact ones where r would be the smaller side.
    """
    rows, columns = matrix.shape
    side = min(rows, columns)
    wide = matrix.double() if rows <= columns else matrix.double().t()
    # Of the smaller Gramian: its eigenvectors are the singular vectors, at a fraction of the time.
    squares, vectors = torch.linalg.eigh(wide @ wide.t())
    squares, vectors = squares.flip(0).clamp_min(0), vectors.flip(1)
    wanted = side if rank is None else min(rank, side)
    if error is not None:
        left = squares.sum() - squares.cumsum(0)
        wanted = 1 + int((left > error**2 * squares.sum()).sum())
    if wanted >= side:
        return exact_factors(matrix)
    wanted = max(1, min(wanted, int((squares > NOISE**2 * squares[0]).sum())))
    roots = squares[:wanted].clamp_min(torch.finfo(torch.float64).tiny).pow(0.25)
    left_part = vectors[:, :wanted] * roots
    right_part = (vectors[:, :wanted] / roots).t() @ wide
    up, down = (left_part, right_part) if rows <= columns else (right_part.t(), left_part.t())
    return Factors(up.to(matrix.dtype).contiguous(), down.to(matrix.dtype).contiguous())


def relative_error(matrix: Tensor, factors: Factors) -> float:
    """‖M − BA‖ / ‖M‖ of the factors as they are stored; 0 for M = 0."""
    wide = matrix.double()
    size = float(wide.norm())
    return float((wide - factors.up.double() @ factors.down.double()).norm()) / size if size else 0.0
