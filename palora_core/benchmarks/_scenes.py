"""What the two generated benchmarks share: cached scenes as splits, augmentation, a user's own photo as input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from palora_core import scenes
from palora_core.batches import Batch
from palora_core.benchmarks._backbones import Dense, dense_network, pictures
from palora_core.benchmarks.base import Benchmark, Progress
from palora_core.data import ArraySplit, Split, Targets
from palora_core.errors import UserError
from palora_core.inputs import RGB
from palora_core.ranges import CountOrNone, Range, check_ranges
from palora_core.tasks import Depth, Normals, Segmentation, Task


@dataclass(frozen=True)
class GeneratedScenes(Benchmark):
    """Base of the benchmarks made by our own scene generator; synthetic, and said to be so everywhere.

    Attributes:
        height: image rows, a multiple of 32.
        image_width: image columns, a multiple of 32.
        backbone: the paper's SegNet; DeepLabV3 on ResNet-50 or MobileNetV2 of torchvision, with one head per task.
        width: factor on SegNet's channels; 1 is the paper's size.
        pretrained: start DeepLabV3 or MobileNetV2 from ImageNet weights that lie in TORCH_HOME.
        norm: of MobileNetV2; fixed keeps ImageNet's statistics (it needs pretrained) and has GroupNorm in the decoder.
        shared: channels at the end of MobileNetV2's decoder that the tasks compete for, each read by one 1×1 layer.
        depth_loss: l1 takes differences as the paper does, log those of logarithms, so that near and far count alike.
        train_images: scenes to train on.
        val_images: scenes to validate on.
        test_images: scenes to test on.
        data_seed: of the generator.
    """

    synthetic: ClassVar[bool] = True
    licence: ClassVar[str] = "Scenes and weights: MIT (our own generator)."
    limits: ClassVar[str] = (
        "Trained on synthetic scenes from our own generator: a demonstration of controllable trade-offs, not a "
        "perception system. Real photos are outside its training data."
    )
    learning: ClassVar[frozenset[str]] = frozenset({"pretrained"})
    kind: ClassVar[str]
    unit: ClassVar[str]
    inverse: ClassVar[bool]
    worst: ClassVar[tuple[float, float, float]]

    height: Annotated[int, Range(32, 4096)] = 96
    image_width: Annotated[int, Range(32, 4096)] = 128
    backbone: Dense = "segnet"
    width: Annotated[float, Range(0, 8, open_low=True)] = 0.25
    pretrained: bool = False
    norm: Literal["batch", "fixed"] = "batch"
    shared: Annotated[int, Range(1, 4096)] = 32
    depth_loss: Literal["l1", "log"] = "l1"
    train_images: Annotated[int, Range(1, 1_000_000)] = 800
    val_images: Annotated[int, Range(1, 1_000_000)] = 100
    test_images: Annotated[int, Range(1, 1_000_000)] = 200
    data_seed: CountOrNone = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in ("height", "image_width"):
            if getattr(self, name) < 32 or getattr(self, name) % 32:
                raise UserError(f"{name} must be a multiple of 32, found {getattr(self, name)}.")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Segmentation, depth and, where the benchmark has them, normals."""
        classes = scenes.CLASSES[self.kind]
        segmentation = Segmentation("segmentation", len(classes), classes=classes)
        depth = Depth("depth", unit=self.unit, inverse=self.inverse, objective=self.depth_loss)
        return (segmentation, depth, Normals("normals")) if self.has_normals else (segmentation, depth)

    @property
    def has_normals(self) -> bool:
        """Whether surface normals are a task."""
        return True

    @property
    def reference(self) -> tuple[float, ...]:
        """What a network that sees nothing reaches: ``worst``, and 1 for logarithms of depth."""
        segmentation, depth, normals = self.worst
        found = segmentation, 1.0 if self.depth_loss == "log" else depth, normals
        return found[: len(self.tasks)]

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """The backbone with one head per task."""
        if self.norm == "fixed" and not (self.backbone == "mobilenet" and self.pretrained):
            raise UserError(
                "norm=fixed keeps ImageNet's statistics; set backbone=mobilenet and pretrained=true, or norm=batch."
            )
        positive = ["depth"] if self.depth_loss == "log" else []
        mobile = {"shared": self.shared, "positive": positive, "norm": self.norm}
        return dense_network(self.backbone, self.outputs, self.width, self.pretrained, **mobile)

    @property
    def input_kind(self) -> RGB:
        """Pictures of the size of the scenes."""
        return pictures((self.height, self.image_width), self.pretrained)

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Split]:
        """The cached scenes; missing ones are generated in parallel."""
        counts = {"train": self.train_images, "val": self.val_images, "test": self.test_images}
        return {split: self._split(data, split, count, progress) for split, count in counts.items()}

    def _split(self, data: Path, split: str, count: int, progress: Progress | None) -> ArraySplit:
        def report(done: int, total: int) -> None:
            if progress:
                progress(f"generating {split} scenes", done, total)

        made = scenes.ensure(
            self.kind, split, count, self.height, self.image_width, self.data_seed, Path(data), progress=report
        )
        targets = {"segmentation": made.labels[:count], "depth": made.depths[:count]}
        if self.has_normals:
            targets["normals"] = made.normals[:count]
        return ArraySplit(made.images[:count], targets, self.convert)

    def convert(self, x: Tensor, targets: Targets) -> Batch:
        """Images to [0, 1] and channels first, labels to int64, depth [B, 1, H, W], unit normals [B, 3, H, W]."""
        found = {"segmentation": targets["segmentation"].long(), "depth": targets["depth"].float().unsqueeze(1)}
        if "normals" in targets:
            normals = targets["normals"].float().permute(0, 3, 1, 2)
            length = normals.norm(dim=1, keepdim=True)
            found["normals"] = torch.where(length > 0, normals / length.clamp_min(1e-6), 0)
        return self.input_kind.scaled(x.permute(0, 3, 1, 2).float().div(255)), found

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Horizontal flip of each item with probability ½; x of the normals changes sign."""
        x, targets = batch
        flip = torch.rand(len(x), generator=generator) < 0.5
        result = {name: _flip(target, flip) for name, target in targets.items()}
        if "normals" in result:
            sign = torch.ones(len(x), 3, 1, 1)
            sign[flip, 0] = -1
            result["normals"] = result["normals"] * sign
        return _flip(x, flip), result


def _flip(tensor: Tensor, flip: Tensor) -> Tensor:
    shape = (-1, *[1] * (tensor.dim() - 1))
    return torch.where(flip.view(shape), tensor.flip(-1), tensor)
