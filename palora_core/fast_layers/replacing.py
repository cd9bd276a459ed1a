"""Which layers of a network have a fast form, and the way there and back."""

from __future__ import annotations

from torch import nn

from palora_core.fast_layers.fused import FusedSequential, composable
from palora_core.fast_layers.relu import FastReLU
from palora_core.swapping import swap


def use_fast_layers_(network: nn.Module) -> None:
    """Swap, in place, the layers of ``network`` that can be computed in less time."""
    for module in list(network.modules()):
        if type(module) is nn.ReLU:
            swap(module, FastReLU)
        elif type(module) is nn.Sequential and any(second for _, second in composable(module._modules.values())):
            swap(module, FusedSequential)


def restore_layers_(network: nn.Module) -> None:
    """Give all of them, in place, the classes they came from."""
    for module in list(network.modules()):
        if isinstance(module, FastReLU | FusedSequential):
            module.unswap_()
