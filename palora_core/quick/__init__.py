"""The same functions and gradients in less time: layers of any network, computed another way while it trains.

A model that wraps a network swaps the classes of such layers in place (names, parameters and hooks stay) and gives them
back their own when it merges, so what is saved, exported or served is the network as it was written.
"""

from palora_core.quick.layers import plain_, quicken_
from palora_core.quick.unpooling import max_unpool2d

__all__ = ["max_unpool2d", "plain_", "quicken_"]
