"""Streets: synthetic driving scenes with 7 classes and inverse depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from palora_core.benchmarks._scenes import GeneratedScenes
from palora_core.benchmarks.base import Recipe, benchmarks
from palora_core.scenes import STREET_CLASSES
from palora_core.tasks import Depth, Segmentation, Task


@benchmarks.register("streets")
@dataclass(frozen=True)
class Streets(GeneratedScenes):
    """Two tasks on generated streets, in the form of CityScapes': 7 classes and inverse depth."""

    title: ClassVar[str] = "Streets (synthetic)"
    summary: ClassVar[str] = "Synthetic driving scenes from our own generator: 7 classes and inverse depth in 1/m."
    citation: ClassVar[str] = "Our own generator; task set after Cordts et al.: Cityscapes, CVPR 2016"
    kind: ClassVar[str] = "streets"
    recipe: ClassVar[Recipe] = Recipe(
        epochs=30,
        batch_size=8,
        lr=1e-3,
        eval_batch_size=16,
        lr_milestones=(0.6, 0.85),
        evaluate_every=5,
        methods={"palora": {"rank": 4, "num_preferences": 5}},
    )

    image_width: int = 192

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Segmentation, inverse depth."""
        segmentation = Segmentation("segmentation", len(STREET_CLASSES), classes=STREET_CLASSES)
        return segmentation, Depth("depth", unit="1/m", inverse=True)

    @property
    def reference(self) -> tuple[float, ...]:
        """Cross-entropy 2 and inverse-depth error 0.1 / m: what a network that sees nothing reaches."""
        return 2.0, 0.1
