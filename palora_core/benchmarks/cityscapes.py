"""CityScapes: segmentation and inverse depth of street scenes at 128 × 256."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from palora_core.benchmarks._dense import METHODS, DenseScenes, resized
from palora_core.benchmarks.base import Recipe, benchmarks
from palora_core.errors import UserError
from palora_core.storage.prepared import Rows
from palora_core.tasks import Depth, Segmentation, Task

SEVEN = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
NINETEEN = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)


@benchmarks.register("cityscapes")
@dataclass(frozen=True)
class CityScapes(DenseScenes):
    """2,975 training frames, divided 2,500/475 with seed 42 as in the paper's code (the paper says 500 for validation).

    The official validation part (500 frames) is the test split. Depth is inverse depth, disparity in the scale of
    MTAN's files; 0 is unknown. Augmentation divides it by the scale of a zoom, as all who build on MTAN do, although
    inverse depth would grow with the zoom.

    Attributes:
        num_classes: 7 categories as in the paper, or the 19 classes of the official evaluation.
    """

    title: ClassVar[str] = "CityScapes"
    summary: ClassVar[str] = "Street scenes of German cities: semantic classes and inverse depth, 128 × 256."
    citation: ClassVar[str] = "Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016"
    licence: ClassVar[str] = "Frames: CityScapes, non-commercial research and teaching only. Weights: the same."
    name: ClassVar[str] = "cityscapes"
    size: ClassVar[tuple[int, int]] = (128, 256)
    official_train: ClassVar[int] = 2975
    validation: ClassVar[int] = 475
    split_seed: ClassVar[int] = 42
    recipe: ClassVar[Recipe] = Recipe(
        epochs=100,
        batch_size=8,
        lr=1e-4,
        eval_batch_size=8,
        lr_milestones=(0.75,),
        evaluate_every=20,
        methods=METHODS,
    )

    num_classes: Literal[7, 19] = 7

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return SEVEN if self.num_classes == 7 else NINETEEN

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Segmentation and inverse depth."""
        depth = Depth("depth", unit="inverse depth", inverse=True)
        return Segmentation("segmentation", self.num_classes, classes=self.classes), depth

    @property
    def reference(self) -> tuple[float, ...]:
        """Cross-entropy 1 and depth error 1, as in the paper's code."""
        return 1.0, 1.0

    def targets(self, fields: Mapping[str, Rows]) -> dict[str, Rows]:
        """Labels of the wanted kind, and depth."""
        labels = f"label_{self.num_classes}"
        if labels not in fields:
            raise UserError(
                f"The prepared CityScapes has no {labels}: MTAN's folders were given without it; prepare the official "
                "release, or set num_classes=7."
            )
        return {"segmentation": fields[labels], "depth": fields["depth"]}

    def zoom(self, item: dict[str, Tensor], scale: float, place: Tensor) -> dict[str, Tensor]:
        """Crop of 1/scale of the sides, resized back (bilinear with aligned corners; nearest for the targets)."""
        size = [int(side / scale) for side in self.size]
        top, left = ((full - part + 1) * float(p) for full, part, p in zip(self.size, size, place))
        rows, columns = slice(int(top), int(top) + size[0]), slice(int(left), int(left) + size[1])
        cut: dict[str, Any] = {name: value[..., rows, columns] for name, value in item.items()}
        return resized(cut, self.size, {"align_corners": True})
