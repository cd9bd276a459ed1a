"""Serving one network at λ after λ: a flat buffer mixed per λ, BatchNorm folded in, heads joined, formats per layer."""

from palora_core.serving.live import LiveNetwork

__all__ = ["LiveNetwork"]
