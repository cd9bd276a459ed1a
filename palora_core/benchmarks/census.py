"""Census-Income (KDD): is a person at least 40, and were they at college?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from palora_core.benchmarks._tables import LabelledTable
from palora_core.benchmarks.base import Recipe, benchmarks
from palora_core.preparation.census import FEATURES


@benchmarks.register("census")
@dataclass(frozen=True)
class Census(LabelledTable):
    """468 features of the 1994 and 1995 surveys; the tasks are age ≥ 40 and higher education.

    Attributes:
        published_education: leave master's degrees out of higher education, as a typing error in the paper's code does.
    """

    title: ClassVar[str] = "Census-Income (KDD)"
    summary: ClassVar[str] = "Rows of a US survey, 468 features: age of at least 40 and higher education."
    citation: ClassVar[str] = "Census-Income (KDD), UCI Machine Learning Repository, 2000"
    licence: ClassVar[str] = "Rows: CC BY 4.0 (UCI). Weights: MIT."
    name: ClassVar[str] = "census"
    labels: ClassVar[tuple[str, ...]] = ("age", "education")
    features: ClassVar[int] = FEATURES
    recipe: ClassVar[Recipe] = Recipe(
        epochs=10,
        batch_size=256,
        lr=1e-3,
        eval_batch_size=256,
        evaluate_every=10,
        methods={
            "palora": {"rank": 1, "temperature": 0.2},
            "padora": {"rank": 1, "alpha": 1, "temperature": 0.2},
            "pamal": {"num_preferences": 2, "coefficient": 5},
        },
    )

    published_education: bool = False

    def field(self, label: str) -> str:
        """The label as it is meant, or as the paper's code has it."""
        return "education_published" if label == "education" and self.published_education else label
