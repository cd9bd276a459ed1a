"""Backbones that the benchmarks on pictures share, and the form of picture that ImageNet weights were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from palora_core.errors import UserError

Dense = Literal["segnet", "deeplab", "mobilenet"]
# Mean and deviation of ImageNet's red, green and blue in [0, 1], as torchvision's weights expect them.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def dense_network(backbone: Dense, outputs: Mapping[str, int], width: float, pretrained: bool) -> tuple[str, dict]:
    """Registry name and options of a network with predictions per pixel."""
    if backbone == "segnet":
        if pretrained:
            raise UserError("SegNet has no ImageNet weights; set backbone=deeplab or backbone=mobilenet.")
        return "segnet", {"outputs": outputs, "width": width}
    options: dict[str, Any] = {"outputs": outputs, "pretrained": pretrained}
    return backbone, options | ({"dense": True} if backbone == "mobilenet" else {})


def standardised(pictures: Tensor) -> Tensor:
    """Pictures [..., 3, H, W] in [0, 1] → as ImageNet weights expect them."""
    mean, deviation = _channels(pictures)
    return (pictures - mean) / deviation


def restored(x: Tensor) -> Tensor:
    """The reverse of :func:`standardised`."""
    mean, deviation = _channels(x)
    return x * deviation + mean


def _channels(like: Tensor) -> list[Tensor]:
    return [torch.tensor(values, dtype=like.dtype, device=like.device).view(3, 1, 1) for values in (MEAN, DEVIATION)]
