"""ImageNet weights of torchvision: read where a person has put them, never downloaded."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from palora_core.errors import UserError
from palora_core.storage.writing import sha256


def imagenet_state(versions: Any) -> dict[str, Tensor]:
    """The state_dict of the first of a model's ImageNet weights that lies in torch's folder of checkpoints.

    Args:
        versions: torchvision's enumeration of the model's weights.

    Raises:
        UserError: none is there (naming file, folder and address), or the file holds no state_dict.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    addresses = [version.url for version in versions if version.name.startswith("IMAGENET1K_V")]
    names = [address.rpartition("/")[2] for address in addresses]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise UserError(
            f"There is no {' or '.join(names)} in {folder}; put torchvision's file there, from {addresses[0]} "
            "(TORCH_HOME chooses the folder), or set pretrained=false."
        )
    try:
        state = torch.load(found, map_location="cpu", weights_only=True)
    except Exception as error:  # torch reports damage in many ways
        reason = str(error).partition("\n")[0]
        raise UserError(f"{found} is damaged or holds no weights ({reason}); copy it again.") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UserError(f"{found} holds no state_dict; copy torchvision's file there again.")
    # The name carries the first digits of the file's hash. A person may have put weights of their own under that name.
    if not sha256(found).startswith(found.stem.rpartition("-")[2]):
        warnings.warn(f"{found} is not torchvision's file: its hash is not the one in its name.", stacklevel=2)
    return state


def fill(module: nn.Module, state: Mapping[str, Tensor], but: Sequence[str], strip: str = "") -> None:
    """Load ``state`` into ``module``, without the classifier and whatever else begins like one of ``but``.

    Args:
        module: takes all its parameters and buffers from ``state``.
        state: names as torchvision has them.
        but: left out.
        strip: taken off the front of the names.

    Raises:
        UserError: the weights are another network's.
    """
    wanted = {name.removeprefix(strip): tensor for name, tensor in state.items() if not name.startswith(tuple(but))}
    try:
        module.load_state_dict(wanted)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"The weights in TORCH_HOME do not fit this network ({reason} …); copy them again.") from None
