"""One scene from its seed."""

from __future__ import annotations

import numpy as np

from palora_core.errors import UserError
from palora_core.scenes.catalog import KINDS, SPLITS
from palora_core.scenes.dice import Dice
from palora_core.scenes.room_picture import render_room
from palora_core.scenes.street_picture import render_street

_MAKERS = {"rooms": render_room, "streets": render_street}
SMALLEST = 16


class SceneError(UserError):
    """A scene that can't be made or a cache of scenes that can't be used; says which and what to do."""


def render(kind: str, seed: int, index: int, height: int, width: int, split: str = "train") -> dict[str, np.ndarray]:
    """Scene ``index`` of a split; the same arguments give the same bytes, in any process.

    Args:
        kind: ``"rooms"`` or ``"streets"``.
        seed: of the whole data set, at least 0.
        index: of the scene, at least 0; a scene does not depend on how many there are.
        height: rows H, at least 16.
        width: columns W, at least 16.
        split: ``"train"``, ``"val"`` or ``"test"``; splits share no scene.

    Returns:
        ``image`` uint8 [H, W, 3]; ``label`` int8 [H, W], -1 for void; ``depth`` float32 [H, W], metres for rooms and
        inverse metres for streets, 0 where missing; ``normal`` float32 [H, W, 3], unit vectors in the camera frame (x
        right, y down, z forward) that face the camera, zeros where depth is missing.

    Raises:
        SceneError: an unknown kind or split, a negative number, or sides that are too small.
    """
    check(kind, split, seed, index, height, width)
    return _MAKERS[kind](Dice(KINDS.index(kind), SPLITS.index(split), index, seed), height, width)


def check(kind: str, split: str, seed: int, index: int, height: int, width: int) -> None:
    """Refuse arguments that name no scene.

    Raises:
        SceneError: with what was found and what is possible.
    """
    if kind not in KINDS:
        raise SceneError(f"There is no kind of scene named {kind!r}; the kinds are {', '.join(KINDS)}.")
    if split not in SPLITS:
        raise SceneError(f"There is no split named {split!r}; the splits are {', '.join(SPLITS)}.")
    for name, value in (("seed", seed), ("index", index)):
        if value < 0:
            raise SceneError(f"{name} must be at least 0, found {value}.")
    if min(height, width) < SMALLEST:
        raise SceneError(f"Scenes need sides of at least {SMALLEST} pixels, found {height} × {width}.")
