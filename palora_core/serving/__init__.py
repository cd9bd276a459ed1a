"""Serving one network at λ after λ: merged into a flat buffer and rearranged for speed, or, if large, as it stands."""

from palora_core.serving.live import LiveNetwork
from palora_core.serving.shared import Served, SharedNetwork, served

__all__ = ["LiveNetwork", "Served", "SharedNetwork", "served"]
