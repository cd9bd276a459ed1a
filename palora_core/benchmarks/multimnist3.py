"""MultiMNIST with three digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from palora_core.benchmarks.base import Recipe, benchmarks
from palora_core.benchmarks.multimnist import MultiMNIST


@benchmarks.register("multimnist3")
@dataclass(frozen=True)
class MultiMNIST3(MultiMNIST):
    """Three digits on a 42 × 42 canvas: top left, bottom centre, top right."""

    title: ClassVar[str] = "MultiMNIST-3"
    summary: ClassVar[str] = "Triples of overlapping MNIST digits, generated from a fixed seed."
    offsets: ClassVar[dict[str, tuple[int, int]]] = {"digit_1": (0, 0), "digit_2": (14, 7), "digit_3": (0, 14)}
    canvas: ClassVar[int] = 42
    recipe: ClassVar[Recipe] = Recipe(
        epochs=20,
        batch_size=256,
        lr=1e-3,
        eval_batch_size=512,
        evaluate_every=5,
        methods={
            "palora": {"rank": 1, "num_preferences": 6, "temperature": 0.2},
            "padora": {"rank": 1, "alpha": 1, "num_preferences": 6, "temperature": 0.2},
            "pamal": {"num_preferences": 3, "coefficient": 2},
        },
    )
