"""Rooms: synthetic indoor scenes with 13 classes, depth in metres and surface normals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from palora_core.batches import Batch
from palora_core.benchmarks import _sensor
from palora_core.benchmarks._photos import photo_like, turned
from palora_core.benchmarks._scenes import GeneratedScenes
from palora_core.benchmarks.base import Progress, Recipe, benchmarks
from palora_core.problem import About, Problem

REAL = About(
    title="Rooms (synthetic and real)",
    summary=(
        "Synthetic indoor scenes from our own generator with 13 classes, depth in metres and normals; half of every "
        "training batch are a depth camera's frames with depth and normals only. Figures are of synthetic scenes."
    ),
    citation=(
        "Our own generator; task set after Silberman et al.: NYUv2, ECCV 2012. Frames: sample of Düzçeker et al.: "
        "DeepVideoMVS, CVPR 2021"
    ),
    licence="Scenes and weights: MIT. Frames (not included): MIT. ImageNet weights at the start: torchvision, BSD-3.",
    limits=(
        "A demonstration of controllable trade-offs, not a perception system. Depth and normals were learnt from one "
        "walk through a few rooms besides synthetic scenes, classes from synthetic scenes only. A distance is right up "
        "to a factor: how large a scene is can hardly be seen in one picture."
    ),
)


@benchmarks.register("rooms")
@dataclass(frozen=True)
class Rooms(GeneratedScenes):
    """Three tasks on generated rooms, in the form of NYUv2's: 13 classes, depth, normals.

    Attributes:
        real_frames: train on a depth camera's frames as well, which have depth and normals and no classes; half of
            every batch is real then. ``prepare rooms`` makes them. The test split stays the generated one.
        photo_like: training pictures get the faults of photographs and are seen by a camera that is turned a little.
    """

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

    real_frames: bool = False
    photo_like: bool = False

    def problem(self, data: Path = Path(), progress: Progress | None = None) -> Problem:
        """As of any benchmark; cards tell of real frames."""
        made = super().problem(data, progress)
        if self.real_frames:
            made.about = REAL
        return made

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Any]:
        """The generated rooms, and real ones in training and validation where they are asked for."""
        made: dict[str, Any] = super().load(data, progress)
        if self.real_frames:
            real = _sensor.frames(data, self.height, self.image_width)
            rows = _sensor.places(len(real.images))
            for split in ("train", "val"):
                made[split] = _sensor.Interleaved(made[split], real.split(rows[split], self.convert))
        return made

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Flips; photographs' faults and turns of the camera where they are asked for."""
        x, targets = super().augment(batch, generator)
        if not self.photo_like:
            return x, targets
        pictures, targets = turned(self.input_kind.restored(x), targets, generator)
        return self.input_kind.scaled(photo_like(pictures, generator)), targets
