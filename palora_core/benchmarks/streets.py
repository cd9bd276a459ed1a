"""Streets: synthetic driving scenes with 7 classes and inverse depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from palora_core.benchmarks._scenes import GeneratedScenes
from palora_core.benchmarks.base import Recipe, benchmarks
from palora_core.ranges import Range


@benchmarks.register("streets")
@dataclass(frozen=True)
class Streets(GeneratedScenes):
    """Two tasks on generated streets, in the form of CityScapes': 7 classes and inverse depth; normals if asked for.

    Attributes:
        image_width: image columns, a multiple of 32.
        normals: surface normals as a third task.
    """

    title: ClassVar[str] = "Streets (synthetic)"
    summary: ClassVar[str] = (
        "Synthetic driving scenes from our own generator: 7 classes, inverse depth in 1/m, normals if asked."
    )
    citation: ClassVar[str] = "Our own generator; task set after Cordts et al.: Cityscapes, CVPR 2016"
    kind: ClassVar[str] = "streets"
    unit: ClassVar[str] = "1/m"
    inverse: ClassVar[bool] = True
    worst: ClassVar[tuple[float, float, float]] = (2.0, 0.1, 1.2)
    recipe: ClassVar[Recipe] = Recipe(
        epochs=30,
        batch_size=8,
        lr=1e-3,
        eval_batch_size=16,
        lr_milestones=(0.6, 0.85),
        evaluate_every=5,
        methods={"palora": {"rank": 4, "num_preferences": 5}},
    )

    image_width: Annotated[int, Range(32, 4096)] = 192
    normals: bool = False

    @property
    def has_normals(self) -> bool:
        """Whether normals were asked for."""
        return self.normals
