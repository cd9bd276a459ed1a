"""One scene from its seed."""

from __future__ import annotations

import functools

import numpy as np

from palora_core.errors import UserError
from palora_core.scenes import rooms, streets
from palora_core.scenes.textures import TextureBank

# Bump whenever the bytes of any scene change; it is part of the cache's folder name.
GENERATOR_VERSION = 1
KINDS = ("rooms", "streets")
ROOM_CLASSES = tuple(rooms.CLASSES)
STREET_CLASSES = tuple(streets.CLASSES)
SPLITS = ("train", "val", "test")
TEXTURE_SEED = 7

_MAKERS = {"rooms": (78, rooms.make), "streets": (77, streets.make)}


def render(kind: str, seed: int, index: int, height: int, width: int, split: str = "train") -> dict[str, np.ndarray]:
    """Scene ``index`` of a split.

    Args:
        kind: ``"rooms"`` or ``"streets"``.
        seed: of the whole data set.
        index: of the scene; it does not depend on how many scenes there are.
        height: rows H.
        width: columns W.
        split: ``"train"``, ``"val"`` or ``"test"``; splits share no scene.

    Returns:
        ``image`` uint8 [H, W, 3], ``label`` int8 [H, W] (−1 void) and ``depth`` float32 [H, W]: metres for rooms, inverse
        metres for streets, 0 where missing. Rooms also have ``normal`` float32 [H, W, 3], unit vectors in the camera frame.

    Raises:
        UserError: an unknown kind or split, or sides below 16 pixels.
    """
    if kind not in _MAKERS:
        raise UserError(f"There is no scene kind {kind!r}; the kinds are {', '.join(KINDS)}.")
    if split not in SPLITS:
        raise UserError(f"There is no split {split!r}; the splits are {', '.join(SPLITS)}.")
    if height < 16 or width < 16:
        raise UserError(f"Scenes need sides of at least 16 pixels, found {height} × {width}.")
    stream, make = _MAKERS[kind]
    rng = np.random.default_rng([stream, SPLITS.index(split), seed, index])
    return make(rng, texture_bank(), height, width)


@functools.cache
def texture_bank() -> TextureBank:
    """The textures of this generator version, built once per process (about a second)."""
    return TextureBank(TEXTURE_SEED)
