"""A network handed over to people who have nothing of ours: files, preprocessing as data, a script, and its trial."""

from palora_core.handover.bundle import export_bundle

__all__ = ["export_bundle"]
