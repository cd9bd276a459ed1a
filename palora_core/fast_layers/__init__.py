"""The same functions and gradients in less time: layers of any network, computed another way while it trains.

A model that wraps a network swaps the classes of such layers in place (names, parameters and hooks stay) and gives them
back their own when it merges, so what is saved, exported or served is the network as it was written.
"""

from palora_core.fast_layers.replacing import restore_layers_, use_fast_layers_
from palora_core.fast_layers.unpooling import max_unpool2d

__all__ = ["max_unpool2d", "restore_layers_", "use_fast_layers_"]
