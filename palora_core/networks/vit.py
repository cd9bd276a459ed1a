"""Vision transformer ViT-B/16 with one linear head per task."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from palora_core.errors import UserError
from palora_core.networks._imagenet import fill, imagenet_state
from palora_core.networks.base import MultiTaskNetwork, networks

PATCH, WIDTH = 16, 768


@networks.register("vit")
def vit(outputs: Mapping[str, int], size: int = 224, layers: int = 12, pretrained: bool = False) -> MultiTaskNetwork:
    """ViT-B/16 (Dosovitskiy et al., ICLR 2021); the class token goes to the heads.

    Adapters sit in the patch projection, the attention's output projections and the MLPs; the joint projection of
    queries, keys and values is one plain parameter of torch's attention and is not adapted.

    Args:
        outputs: task name → number of outputs.
        size: side of the square images, a multiple of 16; pretrained position embeddings are interpolated to it.
        layers: transformer blocks; 12 makes ViT-B.
        pretrained: start from torchvision's ImageNet weights in TORCH_HOME.
    """
    from torchvision.models import ViT_B_16_Weights  # here: importing torchvision takes seconds
    from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

    if size < PATCH or size % PATCH:
        raise UserError(f"size is {size}; expected the images' side as a multiple of {PATCH}.")
    trunk = VisionTransformer(size, PATCH, layers, 12, WIDTH, 4 * WIDTH)
    trunk.heads = nn.Identity()
    if pretrained:
        if layers != 12:
            raise UserError(f"ImageNet weights are for 12 layers, found layers={layers}.")
        state = imagenet_state(ViT_B_16_Weights)
        if "encoder.pos_embedding" in state:
            state = interpolate_embeddings(size, PATCH, state)
        fill(trunk, state, ["heads."])
    return MultiTaskNetwork(trunk, {task: nn.Linear(WIDTH, count) for task, count in outputs.items()})
