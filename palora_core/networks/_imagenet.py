"""ImageNet weights of torchvision: read where a person has put them, never downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palora_core.errors import UserError
from palora_core.files import sha256


def imagenet_state(versions: Any) -> dict[str, Tensor]:
    """The state_dict of the first of a model's ImageNet weights that lies in torch's folder of checkpoints.

    Args:
        versions: torchvision's enumeration of the model's weights.

    Raises:
        UserError: none is there (naming file and folder), or the file is damaged.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    names = [version.url.rpartition("/")[2] for version in versions if version.name.startswith("IMAGENET1K_V")]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise UserError(
            f"There is no {' or '.join(names)} in {folder}; put torchvision's file there (TORCH_HOME chooses the "
            "folder) or set pretrained=false."
        )
    # The name carries the first digits of the file's hash.
    if not sha256(found).startswith(found.stem.rpartition("-")[2]):
        raise UserError(f"{found} is damaged: its hash is not the one in its name; copy it again.")
    return torch.load(found, map_location="cpu", weights_only=True)


def without(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The state without the classifier, whose names begin with ``prefix``."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
