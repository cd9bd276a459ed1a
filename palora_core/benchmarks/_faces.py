"""What UTKFace and CelebA share: prepared 64 × 64 faces and the choice of a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from palora_core.batches import Batch
from palora_core.benchmarks._backbones import pictures
from palora_core.benchmarks.base import Benchmark
from palora_core.data import Targets
from palora_core.errors import UserError
from palora_core.inputs import RGB
from palora_core.ranges import Range, check_ranges

SIZE = 64


@dataclass(frozen=True)
class Faces(Benchmark):
    """Base of the benchmarks on faces.

    Attributes:
        backbone: ResNet-18 with the stem for small images as in the paper, or torchvision's MobileNetV2 or ViT-B/16.
        width: factor on ResNet-18's channels, at least 0.25; 1 is the paper's size.
        pretrained: start MobileNetV2 or ViT-B/16 from ImageNet weights that lie in TORCH_HOME.
    """

    learning: ClassVar[frozenset[str]] = frozenset({"pretrained"})
    name: ClassVar[str]
    limits: ClassVar[str] = (
        "For research on multi-task learning only: labels are estimates or opinions of annotators, groups are unevenly "
        "represented, and nothing about a real person may be decided from a prediction."
    )

    backbone: Literal["resnet18", "mobilenet", "vit"] = "resnet18"
    width: Annotated[float, Range(0.25, 8)] = 1.0
    pretrained: bool = False

    def __post_init__(self) -> None:
        # torch 2.12's CPU kernel for the backward pass of a 1×1, stride-2 convolution in channels-last layout corrupts
        # memory at 4 channels.
        check_ranges(self)

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """The backbone with one linear head per task."""
        if self.backbone == "resnet18":
            if self.pretrained:
                raise UserError("This ResNet-18 has no ImageNet weights; set backbone=mobilenet or backbone=vit.")
            return "resnet18", {"outputs": self.outputs, "size": SIZE, "width": self.width}
        options: dict[str, Any] = {"outputs": self.outputs, "pretrained": self.pretrained}
        return self.backbone, options | ({"size": SIZE} if self.backbone == "vit" else {})

    @property
    def input_kind(self) -> RGB:
        """Square pictures."""
        return pictures((SIZE, SIZE), self.pretrained)

    def convert(self, x: Tensor, targets: Targets) -> Batch:
        """Pictures to [0, 1] and channels first, classes to int64."""
        found = {name: t if t.is_floating_point() else t.long() for name, t in targets.items()}
        return self.input_kind.scaled(x.permute(0, 3, 1, 2).float().div(255)), found
