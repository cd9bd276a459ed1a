"""Rooms: synthetic indoor scenes with 13 classes, depth in metres and surface normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from palora_core.benchmarks._scenes import GeneratedScenes
from palora_core.benchmarks.base import Recipe, benchmarks


@benchmarks.register("rooms")
@dataclass(frozen=True)
class Rooms(GeneratedScenes):
    """Three tasks on generated rooms, in the form of NYUv2's: 13 classes, depth, normals."""

    title: ClassVar[str] = "Rooms (synthetic)"
    summary: ClassVar[str] = "Synthetic indoor scenes from our own generator: 13 classes, depth in metres, normals."
    citation: ClassVar[str] = "Our own generator; task set after Silberman et al.: NYUv2, ECCV 2012"
    learning: ClassVar[frozenset[str]] = frozenset({"pretrained", "photo_like"})
    kind: ClassVar[str] = "rooms"
    unit: ClassVar[str] = "m"
    inverse: ClassVar[bool] = False
    worst: ClassVar[tuple[float, float, float]] = (2.5, 1.5, 1.2)
    recipe: ClassVar[Recipe] = Recipe(
        epochs=30,
        batch_size=8,
        lr=1e-3,
        eval_batch_size=16,
        lr_milestones=(0.6, 0.85),
        evaluate_every=5,
        methods={
            "palora": {"rank": 4, "num_preferences": 6, "balancer": "gradient_normalised"},
            "padora": {"rank": 4, "num_preferences": 6, "balancer": "gradient_normalised"},
            "lorpman": {"balancer": "gradient_normalised"},
            "pamal": {"normalise": True},
        },
    )
