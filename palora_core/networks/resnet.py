"""ResNet-18 with the stem for small images, as in the UTKFace and CelebA experiments of the paper."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import nn

from palora_core.errors import UserError
from palora_core.networks.base import MultiTaskNetwork, networks

WIDTHS = (64, 128, 256, 512)
POOLED = 32  # strides 1, 2, 2, 2 and the pooling by 4


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Two residual blocks; the first one changes resolution and width."""
    from torchvision.models.resnet import BasicBlock  # here: importing torchvision takes seconds

    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs))


@networks.register("resnet18")
def resnet18(outputs: Mapping[str, int], size: int = 64, width: float = 1.0) -> MultiTaskNetwork:
    """ResNet-18 with a 3×3 stem of stride 1: 11,185,224 parameters for heads of 1, 2 and 5 outputs at 64 × 64.

    The trunk's names (``conv1``, ``bn1``, ``layer1`` …) are torchvision's.

    Args:
        outputs: task name → number of outputs of its linear head.
        size: side of the square images, a multiple of 32; features are 512 · (size / 32)² values.
        width: factor on every channel count.
    """
    if size < POOLED or size % POOLED:
        raise UserError(f"size is {size}; expected the images' side as a multiple of {POOLED}")
    widths = [max(4, round(count * width)) for count in WIDTHS]
    stages = zip([widths[0], *widths], widths, (1, 2, 2, 2))
    trunk = OrderedDict[str, nn.Module](
        conv1=nn.Conv2d(3, widths[0], 3, padding=1, bias=False),
        bn1=nn.BatchNorm2d(widths[0]),
        relu=nn.ReLU(inplace=True),
    )
    for number, (before, after, stride) in enumerate(stages, 1):
        trunk[f"layer{number}"] = _stage(before, after, stride)
    trunk.update(pool=nn.AvgPool2d(4), flatten=nn.Flatten())
    features = widths[-1] * (size // POOLED) ** 2
    return MultiTaskNetwork(nn.Sequential(trunk), {task: nn.Linear(features, n) for task, n in outputs.items()})
