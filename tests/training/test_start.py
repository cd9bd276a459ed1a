"""Starting weights: whole networks, backbones under the names of torchvision and timm, and clear refusals."""

from __future__ import annotations

import re
from collections import OrderedDict

import pytest
import torch
from torch import nn

from palora_core.errors import UserError
from palora_core.networks.base import networks
from palora_core.training.start import load_start

HEADS = {"age": 1, "race": 5}


def network(name: str, **options) -> nn.Module:
    torch.manual_seed(1)
    return networks.get(name)(outputs=HEADS, **options)


def saved(state, path):
    torch.save(OrderedDict(state), path)
    return path


def as_timm(name: str) -> str:
    """torchvision's name of a vision transformer's tensor → timm's."""
    for pattern, other in (
        *(
            (r"^class_token", "cls_token"),
            (r"^encoder\.pos_embedding", "pos_embed"),
            (r"^conv_proj", "patch_embed.proj"),
        ),
        *(
            (r"encoder\.layers\.encoder_layer_(\d+)", r"blocks.\1"),
            (r"^encoder\.ln", "norm"),
            (r"\.ln_(\d)", r".norm\1"),
        ),
        *((r"self_attention\.in_proj_", "attn.qkv."), (r"self_attention\.out_proj", "attn.proj")),
        *((r"mlp\.0", "mlp.fc1"), (r"mlp\.3", "mlp.fc2"), (r"^heads\.head", "head")),
    ):
        name = re.sub(pattern, other, name)
    return name


def vit_state():
    from torchvision.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    return VisionTransformer(32, 16, 1, 12, 768, 3072).state_dict()


def mobilenet_state():
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    return mobilenet_v2(weights=None).state_dict()


def resnet_state(size: int = 3):
    """A ResNet-18 with torchvision's names; its stem has kernels of ``size``."""
    torch.manual_seed(0)
    state = networks.get("resnet18")(outputs={"class": 10}, size=32, width=0.25).state_dict()
    state = {name.removeprefix("trunk."): tensor for name, tensor in state.items() if name.startswith("trunk.")}
    state["conv1.weight"] = torch.randn(16, 3, size, size)
    return state | {"fc.weight": torch.randn(10, 128), "fc.bias": torch.zeros(10)}


BACKBONES = {
    "torchvision ResNet": ("resnet18", {"size": 32, "width": 0.25}, lambda: resnet_state()),
    "a wrapped ResNet": (
        "resnet18",
        {"size": 32, "width": 0.25},
        lambda: {f"module.{name}": tensor for name, tensor in resnet_state().items()},
    ),
    "torchvision MobileNetV2": ("mobilenet", {}, mobilenet_state),
    "MobileNetV2 for dense tasks": ("mobilenet", {"dense": True}, mobilenet_state),
    "MobileNetV2 under other names": (
        "mobilenet",
        {},
        lambda: {
            f"layer_{i}.{n.rpartition('.')[2]}": t for i, (n, t) in enumerate(list(mobilenet_state().items())[:-2])
        },
    ),
    "torchvision ViT": ("vit", {"size": 32, "layers": 1}, vit_state),
    "timm ViT": ("vit", {"size": 32, "layers": 1}, lambda: {as_timm(n): t for n, t in vit_state().items()}),
}


@pytest.mark.parametrize("case", BACKBONES)
def test_a_backbone_is_loaded_whole_and_only_new_parts_are_named(tmp_path, case):
    name, options, make = BACKBONES[case]
    state, ours = make(), network(name, **options)
    new = load_start(ours, saved(state, tmp_path / "backbone.pth")).new
    decoder = {part for part, _ in ours.named_parameters() if part.startswith("trunk.decoder.")}
    assert {part for part in new if not part.startswith("heads.")} == decoder and bool(decoder) == ("dense" in options)
    loaded = [t for n, t in ours.named_parameters() if n not in new]
    other = r"(fc|classifier|head)\." + (r"|features\.18\." if "dense" in options else "")
    given = [t for n, t in state.items() if not re.search(other, n) and "running" not in n]
    given = [tensor for tensor in given if tensor.dim()]  # without counters
    assert len(loaded) == len(given)
    assert sum(float(t.detach().double().abs().sum()) for t in loaded) == pytest.approx(
        sum(float(t.double().abs().sum()) for t in given), rel=1e-9
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda: resnet_state(7), r"'conv1.weight' is \[16, 3, 7, 7\] there and \[16, 3, 3, 3\] here"),
        (lambda: {**resnet_state(), "layer9.weight": torch.ones(1)}, "has no place here"),
        (lambda: {"fc.weight": torch.ones(2, 2)}, "'nothing' has no place"),
        (lambda: network("lenet").state_dict(), "is not in both"),
        (mobilenet_state, "another network"),
        (lambda: {"conv1.weight": torch.full((16, 3, 3, 3), torch.nan)}, "NaN or infinite"),
        (dict, "not a plain state_dict"),
    ],
)
def test_another_network_is_refused_and_nothing_is_loaded(tmp_path, state, message):
    ours = network("resnet18", size=32, width=0.25)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(UserError, match=message):
        load_start(ours, saved(state(), tmp_path / "other.pth"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())
