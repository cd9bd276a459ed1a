"""What a model is, beside its tensors: told in its state, so that a state is never taken for another model's.

α, for one, changes what the tensors mean and leaves no trace in their shapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from palora_core.errors import UserError

FORMAT = 1
MOST = 1 << 22  # bytes of a description; a layer takes about 100
KEY = "_extra_state"  # where torch keeps what get_extra_state() gives


def encode(description: Mapping[str, Any], device: torch.device | str = "cpu") -> Tensor:
    """A description as a tensor of bytes (JSON), since safetensors hold tensors only."""
    text = json.dumps({"format": FORMAT, **description}, sort_keys=True, separators=(",", ":"))
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(device)


def decode(tensor: Tensor) -> dict[str, Any]:
    """The inverse of :func:`encode`.

    Raises:
        UserError: it is none, or one of another format.
    """
    try:
        if tensor.dtype != torch.uint8 or tensor.dim() != 1 or tensor.numel() > MOST:
            raise ValueError
        found = json.loads(tensor.cpu().numpy().tobytes())
        number = found.pop("format")
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise UserError("The state's description of its model is damaged; use another copy of it.") from None
    if number != FORMAT:
        raise UserError(f"The state is of format {number!r}, this program reads {FORMAT}; update it.")
    return found


def check(own: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse the state of another model.

    Raises:
        UserError: naming the first difference.
    """
    difference = _difference(own, found)
    if difference is not None:
        raise UserError(f"The state belongs to another model: {difference}; build the model as it was when saved.")


def _difference(own: Any, found: Any, path: str = "") -> str | None:
    if isinstance(own, Mapping) and isinstance(found, Mapping):
        for key in [*found, *(key for key in own if key not in found)]:
            place = f"{path}, {key}" if path else str(key)
            if key not in own or key not in found:
                return f"{place} is only in {'this model' if key in own else 'the state'}"
            difference = _difference(own[key], found[key], place)
            if difference is not None:
                return difference
        return None
    return None if own == found else f"{path} is {found!r} in the state and {own!r} in this model"
