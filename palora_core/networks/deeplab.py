"""DeepLabV3 on a dilated ResNet-50: one shared backbone, atrous pyramid and classifier per task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from palora_core.networks._imagenet import fill, imagenet_state
from palora_core.networks.base import MultiTaskNetwork, networks

STRIDE = 8
CHANNELS = 2048


class Backbone(nn.Module):
    """ResNet-50 without its classifier, the last two stages dilated: features [B, 2048, H / 8, W / 8]."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50  # here: importing torchvision takes seconds

        network = resnet50(weights=None, replace_stride_with_dilation=[False, True, True])
        for name, child in network.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        """Shared features of images [B, 3, H, W]; H and W are multiples of 8."""
        for child in self.children():
            x = child(x)
        return x


@networks.register("deeplab")
def deeplab(outputs: Mapping[str, int], pretrained: bool = False) -> MultiTaskNetwork:
    """DeepLabV3 (Chen et al., arXiv 1706.05587) for several dense tasks.

    The heads' pooled branch has one value per channel and image, so its BatchNorm needs batches of two or more.

    Args:
        outputs: task name → output channels of its head.
        pretrained: start the backbone from torchvision's ImageNet weights in TORCH_HOME.
    """
    from torchvision.models import ResNet50_Weights
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead

    backbone = Backbone()
    if pretrained:
        fill(backbone, imagenet_state(ResNet50_Weights), ["fc."])
    up: dict[str, Any] = {"scale_factor": STRIDE, "mode": "bilinear", "align_corners": False}
    heads = {
        task: nn.Sequential(DeepLabHead(CHANNELS, channels), nn.Upsample(**up)) for task, channels in outputs.items()
    }
    return MultiTaskNetwork(backbone, heads)
