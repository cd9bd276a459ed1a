"""SegNet for dense prediction: 13 + 13 convolutions, pooling indices reused on the way up, one small head per task."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.errors import UserError
from palora_core.fast_layers import max_unpool2d
from palora_core.networks.base import MultiTaskNetwork, networks

STAGES = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 3, 3, 3)
FACTOR = 2 ** len(STAGES)


def conv_block(inputs: int, outputs: int) -> nn.Sequential:
    """3×3 convolution, BatchNorm, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class SegNetTrunk(nn.Module):
    """Encoder and decoder of SegNet; features [B, channels[0], H, W] for images [B, 3, H, W].

    Args:
        channels: width of each encoder stage.
    """

    def __init__(self, channels: tuple[int, ...] = STAGES) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        previous = 3
        for width, depth in zip(channels, DEPTHS):
            widths = [previous] + [width] * depth
            self.encoder.append(nn.Sequential(*(conv_block(a, b) for a, b in pairwise(widths))))
            previous = width
        for stage in reversed(range(len(channels))):
            below = channels[max(stage - 1, 0)]
            widths = [channels[stage], below] + [below] * (DEPTHS[stage] - 1)
            self.decoder.append(nn.Sequential(*(conv_block(a, b) for a, b in pairwise(widths))))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Shared features; H and W must be multiples of 32."""
        if not torch.jit.is_tracing() and (x.shape[-2] % FACTOR or x.shape[-1] % FACTOR):
            raise UserError(
                f"SegNet needs image sides that are multiples of {FACTOR}, found {x.shape[-2]} × {x.shape[-1]}; "
                "resize or pad the images."
            )
        places = []
        for stage in self.encoder:
            x = stage(x)
            size = x.shape
            x, index = F.max_pool2d(x, 2, return_indices=True)
            places.append((index, size))
        for stage in self.decoder:
            index, size = places.pop()
            x = stage(max_unpool2d(x, index, size[-2:]))
        return x


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@networks.register("segnet")
def segnet(outputs: Mapping[str, int], width: float = 1.0) -> MultiTaskNetwork:
    """SegNet "split": 25,017,672 parameters for 7 classes + depth, 25,055,185 for 13 classes + depth + normals.

    Args:
        outputs: task name → output channels of its head (3×3 then 1×1 convolution).
        width: factor on every channel count; 0.25 runs live on a laptop.
    """
    channels = tuple(max(4, round(c * width)) for c in STAGES)
    first = channels[0]
    heads = {
        task: nn.Sequential(nn.Conv2d(first, first, 3, padding=1), nn.Conv2d(first, count, 1))
        for task, count in outputs.items()
    }
    for head in heads.values():
        head.apply(_initialise)
    return MultiTaskNetwork(SegNetTrunk(channels), heads)
