"""What CityScapes and NYUv2 share: prepared pictures with labels, depth and normals, and their augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.batches import Batch
from palora_core.benchmarks._backbones import Dense, dense_network, pictures
from palora_core.benchmarks.base import Benchmark, Progress
from palora_core.data import ArraySplit, Split, Targets
from palora_core.errors import UserError
from palora_core.inputs import RGB
from palora_core.ranges import Range
from palora_core.storage.prepared import Prepared, Rows

SCALES = (1.0, 1.2, 1.5)
# CityScapes' published values; NYUv2 has them too where none are known.
LOW_RANK: dict[str, Any] = {"rank": 4, "num_preferences": 5, "temperature": 0.2, "balancer": "gradient_normalised"}
METHODS: dict[str, dict[str, Any]] = {
    "palora": LOW_RANK,
    "padora": LOW_RANK,
    "lorpman": {"balancer": "gradient_normalised"},
    "pamal": {"num_preferences": 3, "coefficient": 1, "concentration": 7, "normalise": True},
    "cosmos": {"coefficient": 1},
    "phn": {"concentration": 0.2},
    "phn_epo": {"concentration": 0.2},
}


@dataclass(frozen=True)
class DenseScenes(Benchmark):
    """Base of the benchmarks on prepared scenes of one size.

    Attributes:
        backbone: the paper's SegNet; DeepLabV3 on ResNet-50 or MobileNetV2 of torchvision, with one head per task.
        width: factor on SegNet's channels; 1 is the paper's size.
        pretrained: start DeepLabV3 or MobileNetV2 from ImageNet weights that lie in TORCH_HOME.
        augmentation: random scaling, cropping and flipping of the training items, as in the paper.
    """

    learning: ClassVar[frozenset[str]] = frozenset({"pretrained", "augmentation"})
    name: ClassVar[str]
    size: ClassVar[tuple[int, int]]
    official_train: ClassVar[int]
    validation: ClassVar[int]
    split_seed: ClassVar[int]

    backbone: Dense = "segnet"
    width: Annotated[float, Range(0, 8, open_low=True)] = 1.0
    pretrained: bool = False
    augmentation: bool = True

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """The backbone with one head per task."""
        return dense_network(self.backbone, self.outputs, self.width, self.pretrained)

    @property
    def input_kind(self) -> RGB:
        """Pictures of one size."""
        return pictures(self.size, self.pretrained)

    def targets(self, fields: Mapping[str, Rows]) -> dict[str, Rows]:
        """Task name → its array among the prepared fields."""
        raise NotImplementedError

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Split]:
        """The official training part, divided with a fixed seed into training and validation, and the test part."""
        prepared = Prepared.open(data, self.name)
        train, test = prepared.fields("train"), prepared.fields("test")
        first, second = divide(len(train["image"]), self.official_train, self.validation, self.split_seed)
        parts = {
            "train": {name: rows.take(first) for name, rows in train.items()},
            "val": {name: rows.take(second) for name, rows in train.items()},
            "test": test,
        }
        return {name: ArraySplit(fields["image"], self.targets(fields), self.convert) for name, fields in parts.items()}

    def convert(self, x: Tensor, targets: Targets) -> Batch:
        """Channels first; pictures in [0, 1], labels [B, H, W], depth [B, 1, H, W], normals [B, 3, H, W]."""
        whole = x.permute(0, 3, 1, 2).float()
        found = {"segmentation": targets["segmentation"].long(), "depth": targets["depth"].unsqueeze(1)}
        if "normals" in targets:
            found["normals"] = targets["normals"].permute(0, 3, 1, 2).contiguous()
        return self.input_kind.scaled(whole / 255 if x.dtype == torch.uint8 else whole), found

    def zoom(self, item: dict[str, Tensor], scale: float, place: Tensor) -> dict[str, Tensor]:
        """One item cut to 1/scale of its sides and brought back to its size; ``place`` [2] in [0, 1) says where."""
        raise NotImplementedError

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Per item: a scale of 1, 1.2 or 1.5, a place and a flip are drawn; depth is divided by the scale."""
        if not self.augmentation:
            return batch
        x, targets = batch
        which = torch.randint(len(SCALES), (len(x),), generator=generator).tolist()
        places = torch.rand(len(x), 2, generator=generator)
        flips = (torch.rand(len(x), generator=generator) < 0.5).tolist()
        items = []
        for index, choice in enumerate(which):
            item = {"image": x[index], **{name: target[index] for name, target in targets.items()}}
            items.append(self._augmented(item, SCALES[choice], places[index], flips[index]))
        return torch.stack([item["image"] for item in items]), {n: torch.stack([i[n] for i in items]) for n in targets}

    def _augmented(self, item: dict[str, Tensor], scale: float, place: Tensor, flip: bool) -> dict[str, Tensor]:
        if scale != 1:
            item = self.zoom(item, scale, place)
            item["depth"] = item["depth"] / scale
        if flip:
            item = {name: value.flip(-1) for name, value in item.items()}
            if "normals" in item:
                item["normals"] = item["normals"] * torch.tensor([-1.0, 1, 1]).view(3, 1, 1)
        return item


def divide(count: int, official: int, validation: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and validation items: ``validation`` of ``official`` items, in proportion of any other count.

    The permutation is torch's for this seed, whose first entries are the training items, as in the paper's code.
    """
    if count < 2:
        raise UserError(f"{count} items cannot be divided into training and validation; prepare more.")
    held = validation if count == official else min(count - 1, max(1, round(count * validation / official)))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    return order[: count - held], order[count - held :]


def resized(item: dict[str, Tensor], size: tuple[int, int], smooth: dict[str, Any]) -> dict[str, Tensor]:
    """Pictures [C, h, w] resized bilinearly with the options ``smooth``, everything else to nearest values."""
    result = {}
    for name, value in item.items():
        planes = value.unsqueeze(0) if value.dim() == 3 else value[None, None]
        if name == "image":
            planes = F.interpolate(planes, size, mode="bilinear", **smooth)
        else:
            planes = F.interpolate(planes.float(), size, mode="nearest").to(value.dtype)
        result[name] = planes[0] if value.dim() == 3 else planes[0, 0]
    return result
