"""A front from a few evaluated preferences: every figure as a quadratic function of λ (Li et al.: MAP, 2024).

Near the base a loss is about quadratic in the weights, and a merged model's weights are linear in λ, so its losses are
about quadratic in λ. With T(T + 1)/2 coefficients per figure a handful of evaluations predict a whole lattice, and what
each of them misses when it is left out of the fit says how well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from palora_core.errors import UserError
from palora_core.evaluation.front import Front


@dataclass(frozen=True)
class QuadraticSurrogate:
    """Quadratic functions of λ on the simplex, one per figure.

    On the simplex Σλ = 1, so every quadratic function is λᵀQλ.

    Attributes:
        fitted: the front that it was fitted on.
        coefficients: of λ_s λ_t, s ≤ t, per figure [T(T + 1)/2, F]: the T losses, then the metrics.
        errors: per figure [F], the root mean square of what the fit without a point misses at this point.
    """

    fitted: Front
    coefficients: np.ndarray
    errors: np.ndarray

    @classmethod
    def fit(cls, front: Front) -> QuadraticSurrogate:
        """Least squares on the points of a front.

        Raises:
            UserError: too few points to fit and to say the error of, points off the simplex, or figures that are not
                finite.
        """
        products, figures = _products(front.preferences), _figures(front)
        count, unknowns = products.shape
        if count <= unknowns:
            raise UserError(
                f"A quadratic function of {len(front.tasks)} preferences has {unknowns} coefficients, and {count} "
                f"points were evaluated; evaluate at least {unknowns + 1}, so that its error can be told."
            )
        if not np.allclose(front.preferences.sum(1), 1, atol=1e-6):
            raise UserError("A front of pseudo-preferences cannot be fitted; evaluate preferences that sum to 1.")
        if not np.isfinite(figures).all():
            raise UserError("Some figures of the front are not finite, so they cannot be fitted.")
        basis, sizes, _ = np.linalg.svd(products, full_matrices=False)
        if sizes[-1] < 1e-9 * sizes[0]:
            raise UserError("The evaluated preferences do not tell all coefficients apart; spread them, or add some.")
        coefficients = np.linalg.lstsq(products, figures, rcond=None)[0]
        leverage = np.square(basis).sum(1)
        missed = (figures - products @ coefficients) / np.maximum(1 - leverage, 1e-9)[:, None]
        return cls(front, coefficients, np.sqrt(np.square(missed).mean(0)))

    def predict(self, preferences: np.ndarray) -> Front:
        """The front that the functions say for other λ's [K, T] on the simplex; ``about`` tells so, with errors."""
        tasks = len(self.fitted.tasks)
        found = _products(np.asarray(preferences, dtype=np.float64)) @ self.coefficients
        metrics = {name: found[:, tasks + i] for i, name in enumerate(self.fitted.metrics)}
        told = {"evaluated": len(self.fitted.preferences), "errors": self.told()}
        about = {**self.fitted.about, "predicted": told}
        return replace(
            self.fitted, preferences=preferences, objectives=found[:, :tasks], metrics=metrics, about=about, effects={}
        )

    def told(self) -> dict[str, float]:
        """The errors by the figures' names."""
        names = [*(f"{task} loss" for task in self.fitted.tasks), *self.fitted.metrics]
        return dict(zip(names, self.errors.tolist()))

    def missed(self, front: Front) -> dict[str, float]:
        """The root mean square of what it misses at the points of another evaluated front, by the figures' names."""
        gaps = _products(front.preferences) @ self.coefficients - _figures(front)
        return dict(zip(self.told(), np.sqrt(np.square(gaps).mean(0)).tolist()))


def _products(preferences: np.ndarray) -> np.ndarray:
    """λ_s λ_t for s ≤ t, [K, T(T + 1)/2]."""
    rows, columns = np.triu_indices(preferences.shape[1])
    found: np.ndarray = preferences[:, rows] * preferences[:, columns]
    return found


def _figures(front: Front) -> np.ndarray:
    """Losses and metrics side by side, [K, F]."""
    return np.column_stack([front.objectives, *front.metrics.values()])
