"""Backbones that the benchmarks on pictures share, and the form of picture that ImageNet weights were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from palora_core.errors import UserError
from palora_core.inputs import RGB

Dense = Literal["segnet", "deeplab", "mobilenet"]
# Mean and deviation of ImageNet's red, green and blue in [0, 1], as torchvision's weights expect them.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def dense_network(
    backbone: Dense, outputs: Mapping[str, int], width: float, pretrained: bool, **mobile: Any
) -> tuple[str, dict]:
    """Registry name and options of a network with predictions per pixel; those in ``mobile`` are MobileNetV2's."""
    if backbone == "segnet":
        if pretrained:
            raise UserError("SegNet has no ImageNet weights; set backbone=deeplab or backbone=mobilenet.")
        return "segnet", {"outputs": outputs, "width": width}
    options: dict[str, Any] = {"outputs": outputs, "pretrained": pretrained}
    return backbone, options | ({"dense": True, **mobile} if backbone == "mobilenet" else {})


def pictures(size: tuple[int, int], pretrained: bool) -> RGB:
    """Colour pictures of this (height, width): as ImageNet's if the network starts from those, else in [0, 1]."""
    return RGB(size, MEAN, DEVIATION) if pretrained else RGB(size)
