"""Adult (census 1994): does a person earn more than 50,000 dollars, and were they never married?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from palora_core.benchmarks._tables import LabelledTable
from palora_core.benchmarks.base import Recipe, benchmarks
from palora_core.preparation.adult import FEATURES


@benchmarks.register("adult")
@dataclass(frozen=True)
class Adult(LabelledTable):
    """93 features; marital status and relationship are not among them, since they give the second label away."""

    title: ClassVar[str] = "Adult"
    summary: ClassVar[str] = "Rows of the US census of 1994: income above 50,000 dollars and never married."
    citation: ClassVar[str] = "Becker, Kohavi: Adult, UCI Machine Learning Repository, 1996"
    licence: ClassVar[str] = "Rows: CC BY 4.0 (UCI). Weights: MIT."
    name: ClassVar[str] = "adult"
    labels: ClassVar[tuple[str, ...]] = ("income", "never_married")
    features: ClassVar[int] = FEATURES
    recipe: ClassVar[Recipe] = Recipe(
        epochs=10,
        batch_size=256,
        lr=1e-3,
        eval_batch_size=1024,
        evaluate_every=5,
        methods={
            "palora": {"rank": 1, "temperature": 0.2},
            "padora": {"rank": 1, "alpha": 1, "temperature": 0.2},
            "pamal": {"num_preferences": 2, "coefficient": 5},
        },
    )
