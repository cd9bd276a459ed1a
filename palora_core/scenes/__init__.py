"""Our own deterministic scene generator: ``rooms`` and ``streets`` with labels, depth and (rooms) surface normals.

The scenes are synthetic. Same kind, seed, split, index, size and generator version → same bytes.
"""

from palora_core.scenes.generate import GENERATOR_VERSION, KINDS, ROOM_CLASSES, STREET_CLASSES, render
from palora_core.scenes.store import SceneArrays, SceneError, ensure, verify

__all__ = [
    "GENERATOR_VERSION",
    "KINDS",
    "ROOM_CLASSES",
    "STREET_CLASSES",
    "SceneArrays",
    "SceneError",
    "ensure",
    "render",
    "verify",
]
