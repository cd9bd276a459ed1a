"""Rooms from two sources: generated ones with all labels, and a depth camera's frames without classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch

from palora_core.batches import Batch
from palora_core.benchmarks import _sensor
from palora_core.benchmarks._backbones import Dense
from palora_core.benchmarks._photos import photo_like, turned
from palora_core.benchmarks.base import Progress, Recipe, benchmarks
from palora_core.benchmarks.rooms import Rooms
from palora_core.ranges import Range


@benchmarks.register("real_rooms")
@dataclass(frozen=True)
class RealRooms(Rooms):
    """Depth and normals that hold on photographs: MobileNetV2 from ImageNet, trained on generated and real rooms.

    The real frames are those that ``prepare real_rooms`` made; the last of the walk are never trained on. The test
    split is the generated one, which alone has all three labels; ``scripts/real_rooms.py`` measures on real frames.

    Attributes:
        real_share: of real frames among the training items.
        held_out: the thirty frames before the test frames validate; else they are trained on, too, and only generated
            scenes validate.
        photo_like: half of the training pictures get the faults of photographs, and half are seen by a camera that is
            turned a little.
    """

    also_real: ClassVar[bool] = True
    title: ClassVar[str] = "Rooms (synthetic and real)"
    summary: ClassVar[str] = (
        "Synthetic indoor scenes from our own generator with 13 classes, depth in metres and normals; more than half "
        "of the training items are a depth camera's frames with depth and normals only. Figures are of synthetic "
        "scenes."
    )
    citation: ClassVar[str] = (
        "Our own generator; task set after Silberman et al.: NYUv2, ECCV 2012. Frames: sample of Düzçeker et al.: "
        "DeepVideoMVS, CVPR 2021"
    )
    licence: ClassVar[str] = (
        "Scenes and weights: MIT. Frames (not included): MIT. ImageNet weights at the start: torchvision, BSD-3."
    )
    limits: ClassVar[str] = (
        "A demonstration of controllable trade-offs, not a perception system. Depth and normals were learnt from one "
        "walk through a few rooms besides synthetic scenes, classes from synthetic scenes only. A distance is right up "
        "to a factor: how large a scene is can hardly be seen in one picture."
    )
    recipe: ClassVar[Recipe] = Recipe(
        epochs=12,
        batch_size=8,
        lr=1e-3,
        lr_parts="trunk.features=0.3",
        eval_batch_size=16,
        evaluate_every=0,
        schedule="cosine",
        warmup=0.03,
        ema=0.998,
        precision="bf16",
        methods={
            "palora": {
                "rank": 8,
                "alpha": 12.0,
                "num_preferences": 1,
                "balancer": "linear",
                "sampler": "dirichlet",
                "concentration": 0.5,
                "adapter_lr_scale": 2.0,
            },
        },
    )

    height: Annotated[int, Range(32, 4096)] = 192
    image_width: Annotated[int, Range(32, 4096)] = 256
    backbone: Dense = "mobilenet"
    pretrained: bool = True
    norm: Literal["batch", "fixed"] = "fixed"
    shared: Annotated[int, Range(1, 4096)] = 12
    depth_loss: Literal["l1", "log"] = "log"
    train_images: Annotated[int, Range(1, 1_000_000)] = 1500
    val_images: Annotated[int, Range(1, 1_000_000)] = 48
    test_images: Annotated[int, Range(1, 1_000_000)] = 100
    real_share: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.625
    held_out: bool = True
    photo_like: bool = True

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Any]:
        """The generated rooms, and real ones in training and validation."""
        real = _sensor.frames(data, self.height, self.image_width)  # first: scenes take minutes to generate
        made: dict[str, Any] = super().load(data, progress)
        rows = _sensor.places(len(real.images))
        if not self.held_out:
            rows = {"train": slice(0, rows["test"].start)}
        for split in rows.keys() - {"test"}:
            made[split] = _sensor.Interleaved(made[split], real.split(rows[split], self.convert), self.real_share)
        return made

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Flips; photographs' faults and turns of the camera, each for half of the items, where they are asked for."""
        x, targets = super().augment(batch, generator)
        if not self.photo_like:
            return x, targets
        pictures, targets = self.input_kind.restored(x), dict(targets)
        rows = _half(len(x), generator)
        pictures[rows], moved = turned(pictures[rows], {n: target[rows] for n, target in targets.items()}, generator)
        for name, target in moved.items():
            targets[name] = targets[name].index_copy(0, rows, target.to(targets[name]))
        rows = _half(len(x), generator)
        pictures[rows] = photo_like(pictures[rows], generator)
        return self.input_kind.scaled(pictures), targets


def _half(count: int, generator: torch.Generator) -> torch.Tensor:
    """Indices of a random half of ``count`` items, at least one."""
    return torch.randperm(count, generator=generator)[: max(1, count // 2)]
