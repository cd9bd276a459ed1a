"""Where the differences of two networks go: adapters for the matrices of layers, offsets for all else."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from palora_core.adapters.hosted import HOSTS
from palora_core.adapters.selection import is_adaptable


@dataclass(frozen=True)
class Place:
    """A parameter of a network.

    Attributes:
        module: its owner.
        parameter: itself; tied ones are one object in several places.
        layer: the name under which adapters are inserted for it; None for an offset.
    """

    module: nn.Module
    parameter: nn.Parameter
    layer: str | None


def places_of(network: nn.Module) -> dict[str, Place]:
    """Every parameter of a network by its name, those of a module that comes twice once."""
    found = {}
    for path, module in network.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is None:
                continue
            name = f"{path}.{key}".lstrip(".")
            layer = None
            if isinstance(module, HOSTS):
                layer = name if parameter.dim() == 2 else None
            elif key == "weight" and is_adaptable(module):
                layer = path
            found[name] = Place(module, parameter, layer)
    return found
