"""NYU Depth v2: segmentation, depth and surface normals of rooms at 288 × 384."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from palora_core.benchmarks._dense import LOW_RANK, METHODS, DenseScenes, resized
from palora_core.benchmarks.base import Recipe, benchmarks
from palora_core.errors import UserError
from palora_core.inputs import RGB
from palora_core.storage.prepared import Rows
from palora_core.tasks import Depth, Normals, Segmentation, Task

THIRTEEN = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
    *("picture", "sofa", "table", "tv", "wall", "window"),
)
FORTY = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter"),
    *("blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes", "ceiling"),
    *("books", "refrigerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard", "person"),
    *("night stand", "toilet", "sink", "lamp", "bathtub", "bag", "other structure", "other furniture", "other prop"),
)


@benchmarks.register("nyuv2")
@dataclass(frozen=True)
class NYUv2(DenseScenes):
    """795 training images, divided 700/95 with seed 795 as in the paper's code; the 654 official test images.

    Attributes:
        num_classes: 13 classes as in the paper, or 40.
        normal_objective: l1 is the paper's loss, cosine that of most others.
    """

    title: ClassVar[str] = "NYUv2"
    summary: ClassVar[str] = "Rooms seen by a Kinect: semantic classes, depth in metres, surface normals, 288 × 384."
    citation: ClassVar[str] = "Silberman, Hoiem, Kohli, Fergus: Indoor Segmentation and Support Inference, ECCV 2012"
    licence: ClassVar[str] = "Images: NYU Depth v2, for research. Weights: the same."
    name: ClassVar[str] = "nyuv2"
    size: ClassVar[tuple[int, int]] = (288, 384)
    official_train: ClassVar[int] = 795
    validation: ClassVar[int] = 95
    split_seed: ClassVar[int] = 795
    recipe: ClassVar[Recipe] = Recipe(
        epochs=200,
        batch_size=2,
        lr=1e-4,
        eval_batch_size=2,
        lr_milestones=(0.5,),
        evaluate_every=10,
        methods={**METHODS, "palora": {**LOW_RANK, "num_preferences": 6}, "padora": {**LOW_RANK, "num_preferences": 6}},
    )

    num_classes: Literal[13, 40] = 13
    normal_objective: Literal["l1", "cosine"] = "l1"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return THIRTEEN if self.num_classes == 13 else FORTY

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Segmentation, depth, normals."""
        segmentation = Segmentation("segmentation", self.num_classes, classes=self.classes)
        return segmentation, Depth("depth", unit="m"), Normals("normals", objective=self.normal_objective)

    @property
    def reference(self) -> tuple[float, ...]:
        """As for ``rooms``: about what a network reaches that sees nothing; the code's (1, 1, 1) leaves most out."""
        return 2.5, 1.5, 1.2

    def targets(self, fields: Mapping[str, Rows]) -> dict[str, Rows]:
        """Labels of the wanted kind, depth and normals."""
        labels = f"label_{self.num_classes}"
        if labels not in fields:
            raise UserError(
                f"The prepared NYUv2 has no {labels}: MTAN's folders hold 13 classes only; prepare the official .mat, "
                "or set num_classes=13."
            )
        return {"segmentation": fields[labels], "depth": fields["depth"], "normals": fields["normals"]}

    @property
    def input_kind(self) -> RGB:
        """Pictures in [-1, 1], but as ImageNet's if the network starts from those."""
        return super().input_kind if self.pretrained else RGB(self.size, (0.5,) * 3, (0.5,) * 3)

    def zoom(self, item: dict[str, Tensor], scale: float, place: Tensor) -> dict[str, Tensor]:
        """Resized to ``scale`` times its sides (antialiased bilinear; nearest for the targets), then cropped."""
        larger = int(self.size[0] * scale), int(self.size[1] * scale)
        item = resized(item, larger, {"antialias": True, "align_corners": False})
        top, left = (int((full - side + 1) * float(p)) for full, side, p in zip(larger, self.size, place))
        rows, columns = slice(top, top + self.size[0]), slice(left, left + self.size[1])
        cut: dict[str, Any] = {name: value[..., rows, columns] for name, value in item.items()}
        return cut
