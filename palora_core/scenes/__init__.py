"""Our own deterministic scene generator: ``rooms`` and ``streets`` with labels, depth and surface normals.

The scenes are synthetic, and cards, pages and files say so. The same kind, seed, split, index, size and generator
version give the same bytes, whichever process renders them; :func:`ensure` keeps them on disk.
"""

from palora_core.scenes.catalog import CLASSES, GENERATOR_VERSION, KINDS, ROOM_CLASSES, STREET_CLASSES
from palora_core.scenes.contact import sheet
from palora_core.scenes.generate import SceneError, render
from palora_core.scenes.store import SceneArrays, ensure, verify

__all__ = [
    "CLASSES",
    "GENERATOR_VERSION",
    "KINDS",
    "ROOM_CLASSES",
    "STREET_CLASSES",
    "SceneArrays",
    "SceneError",
    "ensure",
    "render",
    "sheet",
    "verify",
]
