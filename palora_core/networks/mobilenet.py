"""MobileNetV2 for classification, regression and, with a small decoder, dense tasks."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.errors import UserError
from palora_core.networks._imagenet import fill, imagenet_state
from palora_core.networks.base import MultiTaskNetwork, networks
from palora_core.normalisation import FixedBatchNorm2d

STRIDE = 2  # of the finest features
POOLED, COARSE = 1280, 320  # channels of the last convolution and of the last block
LAST = 18  # blocks; the last convolution is for whole images
SKIPS = {13: 96, 6: 32, 3: 24, 1: 16}  # the last block of strides 16, 8, 4 and 2 → its channels
GROUPS = 4  # at most, of the decoder's GroupNorm
WIDTHS = (96, 64, 48, 32)  # of the decoder at strides 32, 16, 8 and 4; at stride 2 all tasks share a few


Norm = Literal["batch", "fixed"]


def _features(norm: Norm) -> nn.Sequential:
    from torchvision.models import mobilenet_v2  # here: importing torchvision takes seconds

    return mobilenet_v2(weights=None, norm_layer=FixedBatchNorm2d if norm == "fixed" else nn.BatchNorm2d).features


class PooledTrunk(nn.Module):
    """MobileNetV2's features, averaged over the image: [B, 1280].

    Args:
        norm: see :func:`mobilenet`.
    """

    def __init__(self, norm: Norm = "batch") -> None:
        super().__init__()
        self.features = _features(norm)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """Shared features of images [B, 3, H, W]."""
        return self.dropout(self.features(x).mean((2, 3)))


class DenseTrunk(nn.Module):
    """MobileNetV2's blocks and a decoder back to stride 2, as in U-Net: [B, shared, H / 2, W / 2].

    Args:
        shared: channels that all heads read.
        norm: see :func:`mobilenet`.

    Attributes:
        unused: parts of the published network that this one has no place for.
    """

    unused: ClassVar[tuple[str, ...]] = (f"features.{LAST}.",)

    def __init__(self, shared: int, norm: Norm = "batch") -> None:
        super().__init__()
        self.features = nn.Sequential(*list(_features(norm))[:LAST])
        skips = (0, *SKIPS.values())
        below, widths = (COARSE, *WIDTHS), (*WIDTHS, shared)
        self.decoder = nn.ModuleList(_mixed(a + skip, b, norm) for a, skip, b in zip(below, skips, widths))

    def forward(self, x: Tensor) -> Tensor:
        """Shared features of images [B, 3, H, W]; H and W are even."""
        kept = []
        for number, block in enumerate(self.features):
            x = block(x)
            if number in SKIPS:
                kept.append(x)
        x = self.decoder[0](x)
        for stage, finer in zip(list(self.decoder)[1:], reversed(kept)):
            raised = F.interpolate(x, finer.shape[-2:], mode="bilinear", align_corners=False)
            x = stage(torch.cat([raised, finer], 1))
        return x


class Exponential(nn.Module):
    """e to the power of its input: a quantity that is positive, learnt in steps of its size."""

    def forward(self, x: Tensor) -> Tensor:
        """Element by element."""
        return x.exp()


def _mixed(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    layer = nn.BatchNorm2d(outputs) if norm == "batch" else nn.GroupNorm(math.gcd(GROUPS, outputs), outputs)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), layer, nn.ReLU())


def _dense_head(inputs: int, channels: int, positive: bool) -> nn.Sequential:
    raised = nn.Upsample(scale_factor=STRIDE, mode="bilinear", align_corners=False)
    return nn.Sequential(nn.Conv2d(inputs, channels, 1), *([Exponential()] if positive else []), raised)


@networks.register("mobilenet")
def mobilenet(
    outputs: Mapping[str, int],
    dense: bool = False,
    pretrained: bool = False,
    shared: int = 32,
    positive: Collection[str] = (),
    norm: Norm = "batch",
) -> MultiTaskNetwork:
    """MobileNetV2 (Sandler et al., CVPR 2018) with one head per task.

    Args:
        outputs: task name → number of outputs, or of output channels.
        dense: predictions per pixel instead of per image.
        pretrained: start the features from torchvision's ImageNet weights in TORCH_HOME.
        shared: channels that dense heads read, each by one 1×1 convolution; with a few the tasks compete for them.
        positive: dense tasks that predict quantities above 0 (distances).
        norm: "batch" estimates BatchNorm's statistics; "fixed" keeps those of ImageNet in the features, and dense
            decoders have GroupNorm, so that neither λ nor what else is in a batch matters to any item.
    """
    if norm not in ("batch", "fixed"):
        raise UserError(f"norm is {norm!r}; expected 'batch' or 'fixed'.")
    trunk = DenseTrunk(shared, norm) if dense else PooledTrunk(norm)
    if pretrained:
        from torchvision.models import MobileNet_V2_Weights

        fill(
            trunk.features,
            imagenet_state(MobileNet_V2_Weights),
            ("classifier.", *getattr(trunk, "unused", ())),
            strip="features.",
        )
    heads = {
        task: _dense_head(shared, count, task in positive) if dense else nn.Linear(POOLED, count)
        for task, count in outputs.items()
    }
    return MultiTaskNetwork(trunk, heads)
