"""Rooms: synthetic indoor scenes with 13 classes, depth in metres and surface normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from palora_core.benchmarks._scenes import GeneratedScenes
from palora_core.benchmarks.base import Recipe, benchmarks
from palora_core.scenes import ROOM_CLASSES
from palora_core.tasks import Depth, Normals, Segmentation, Task


@benchmarks.register("rooms")
@dataclass(frozen=True)
class Rooms(GeneratedScenes):
    """Three tasks on generated rooms, in the form of NYUv2's: 13 classes, depth, normals."""

    title: ClassVar[str] = "Rooms (synthetic)"
    summary: ClassVar[str] = "Synthetic indoor scenes from our own generator: 13 classes, depth in metres, normals."
    citation: ClassVar[str] = "Our own generator; task set after Silberman et al.: NYUv2, ECCV 2012"
    kind: ClassVar[str] = "rooms"
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

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Segmentation, depth, normals."""
        segmentation = Segmentation("segmentation", len(ROOM_CLASSES), classes=ROOM_CLASSES)
        return segmentation, Depth("depth", unit="m"), Normals("normals")

    @property
    def reference(self) -> tuple[float, ...]:
        """Cross-entropy 2.5, depth error 1.5 m, normals' L1 1.2: what a network that sees nothing reaches."""
        return 2.5, 1.5, 1.2
