"""The bank of textures: mip-mapped, tileable, one 32-bit word per texel so that a lookup is a single gather."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from palora_core.scenes import patterns, pictures
from palora_core.scenes.dice import Dice

SIDE = 256
TEXTURE_SEED = 7
_BYTE = np.float32(1 / 255)


class TextureBank:
    """Named groups of textures, each RGB and a light mask (lit windows, screens), bottom row first.

    Args:
        groups: name → textures [S, S, 3 or 4] in [0, 1].
    """

    def __init__(self, groups: dict[str, list[np.ndarray]]) -> None:
        textures = [texture for group in groups.values() for texture in group]
        ends = np.cumsum([len(group) for group in groups.values()])
        self._ids = {name: range(end - len(groups[name]), end) for name, end in zip(groups, ends.tolist())}
        side = len(textures[0])
        self._sides = [side >> level for level in range(side.bit_length() - 1)]
        sizes = [len(textures) * level_side**2 for level_side in self._sides]
        self._side_of = np.array(self._sides, np.int32)
        self._start_of = np.array([sum(sizes[:level]) for level in range(len(sizes))], np.int32)
        self._texels = np.empty(sum(sizes), "<u4")
        for number, texture in enumerate(textures):
            for start, words in zip(self._start_of.tolist(), _levels(texture)):
                place = start + number * words.size
                self._texels[place : place + words.size] = words

    def pick(self, dice: Dice, name: str) -> int:
        """One texture of a group."""
        return dice.pick(self._ids[name])

    def sample(self, texture: np.ndarray | int, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """RGB and light mask [4, N] in [0, 1].

        Args:
            texture: numbers of textures, [N] or one for all.
            u: coordinate in repetitions [N].
            v: the other one, from the bottom up [N].
            footprint: texels of the finest level that a pixel covers [N]; chooses the mip level.
        """
        exponent = np.frexp(np.maximum(footprint, np.float32(1)))[1]
        level = np.minimum(exponent - 1, len(self._sides) - 1)
        side = self._side_of[level]
        column = ((u - np.floor(u)) * side).astype(np.int32)
        row = ((v - np.floor(v)) * side).astype(np.int32)
        np.minimum(column, side - 1, out=column)
        np.minimum(row, side - 1, out=row)
        return _unpack(self._texels[self._start_of[level] + (texture * side + row) * side + column])

    def fine(self, texture: int) -> np.ndarray:
        """The first channel of a texture at the finest level [S, S]."""
        side = self._sides[0]
        texels = self._texels[texture * side * side : (texture + 1) * side * side]
        return _unpack(texels)[0].reshape(side, side)


@functools.cache
def bank() -> TextureBank:
    """The textures of this generator version, drawn once per process."""
    rng = np.random.default_rng(TEXTURE_SEED)
    return TextureBank({**patterns.draw_all(rng, SIDE), **pictures.draw_all(rng, SIDE)})


@functools.cache
def leaf_mask() -> np.ndarray:
    """Noise [S, S] in [0, 1] that cuts holes into foliage and speckles into depth."""
    chosen = bank()
    return chosen.fine(chosen.pick(Dice(0), "mask"))


def _levels(texture: np.ndarray) -> Iterator[np.ndarray]:
    """A texture as words, at its own size and at each half of it down to 2 × 2; flat."""
    planes = np.zeros((*texture.shape[:2], 4), np.float32)
    np.clip(texture, 0, 1, out=planes[..., : texture.shape[2]], casting="unsafe")
    planes *= 255
    while len(planes) > 1:
        yield (planes + np.float32(0.5)).astype(np.uint8).view("<u4").reshape(-1)
        columns = planes[:, ::2] + planes[:, 1::2]
        planes = (columns[::2] + columns[1::2]) * np.float32(0.25)


def _unpack(words: np.ndarray) -> np.ndarray:
    planes = np.empty((4, *words.shape), np.float32)
    for channel in range(4):
        np.multiply((words >> np.uint32(8 * channel)) & np.uint32(255), _BYTE, out=planes[channel], casting="unsafe")
    return planes
