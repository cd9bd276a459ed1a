"""MobileNetV2 for classification, regression and, with a small decoder, dense tasks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from palora_core.networks._imagenet import fill, imagenet_state
from palora_core.networks.base import MultiTaskNetwork, networks

STRIDE = 8
FINE = 7  # the first blocks, up to stride 8
FINE_CHANNELS, COARSE_CHANNELS, MIXED = 32, 1280, 64


def _features() -> nn.Sequential:
    from torchvision.models import mobilenet_v2  # here: importing torchvision takes seconds

    return mobilenet_v2(weights=None).features


class PooledTrunk(nn.Module):
    """MobileNetV2's features, averaged over the image: [B, 1280]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = _features()
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """Shared features of images [B, 3, H, W]."""
        return self.dropout(self.features(x).mean((2, 3)))


class DenseTrunk(nn.Module):
    """MobileNetV2's features at strides 8 and 32, mixed at stride 8: [B, 64, H / 8, W / 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = _features()
        self.fine = nn.Conv2d(FINE_CHANNELS, MIXED, 1)
        self.coarse = nn.Conv2d(COARSE_CHANNELS, MIXED, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Shared features of images [B, 3, H, W]; H and W are multiples of 8."""
        fine = self.features[:FINE](x)
        coarse = self.coarse(self.features[FINE:](fine))
        raised = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        return F.relu(self.fine(fine) + raised)


def _dense_head(channels: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(MIXED, MIXED, 3, padding=1), nn.ReLU(), nn.Conv2d(MIXED, channels, 1)),
        nn.Upsample(scale_factor=STRIDE, mode="bilinear", align_corners=False),
    )


@networks.register("mobilenet")
def mobilenet(outputs: Mapping[str, int], dense: bool = False, pretrained: bool = False) -> MultiTaskNetwork:
    """MobileNetV2 (Sandler et al., CVPR 2018) with one head per task.

    Args:
        outputs: task name → number of outputs, or of output channels.
        dense: predictions per pixel instead of per image.
        pretrained: start the features from torchvision's ImageNet weights in TORCH_HOME.
    """
    trunk = DenseTrunk() if dense else PooledTrunk()
    if pretrained:
        from torchvision.models import MobileNet_V2_Weights

        fill(trunk.features, imagenet_state(MobileNet_V2_Weights), "classifier.", strip="features.")
    make = _dense_head if dense else lambda count: nn.Linear(COARSE_CHANNELS, count)
    return MultiTaskNetwork(trunk, {task: make(count) for task, count in outputs.items()})
