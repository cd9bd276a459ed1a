"""From light to a picture: softness, vignette, exposure, colour grade, tone curve, sensor noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palora_core.scenes.dice import Dice
from palora_core.scenes.lighting import blur
from palora_core.scenes.raycast import SAMPLES

Array = np.ndarray


@dataclass(frozen=True)
class Lens:
    """A camera's settings.

    Attributes:
        softness: deviation of the blur in pixels.
        vignette: loss of light in the corners.
        key: brightness that the picture's brighter quarter is exposed for.
        contrast: exponent around the key; 1 changes nothing.
        saturation: 0 gives grey, 1 changes nothing.
        gains: factor on red, green and blue.
        grain: deviation of the sensor noise.
    """

    softness: float
    vignette: float
    key: float
    contrast: float
    saturation: float
    gains: tuple[float, float, float]
    grain: float

    @classmethod
    def draw(cls, dice: Dice, key: float, cast: float, grain: float) -> Lens:
        """Random settings around a key; ``cast`` is the spread of the gains, ``grain`` the largest noise."""
        return cls(
            softness=dice.uniform(0.2, 0.5),
            vignette=dice.uniform(0.0, 0.35),
            key=key * dice.uniform(0.8, 1.15),
            contrast=dice.uniform(0.85, 1.25),
            saturation=dice.uniform(0.7, 1.3),
            gains=(1 + cast * dice.normal(), 1 + cast * dice.normal(), 1 + cast * dice.normal()),
            grain=dice.uniform(0.2, 1.0) * grain,
        )

    def develop(self, light: Array, generator: np.random.Generator) -> Array:
        """Light of all rays [3, H · SAMPLES, W · SAMPLES] as a picture uint8 [H, W, 3]."""
        image = blur(_pooled(light), self.softness)
        height, width = image.shape[1:]
        down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        right = np.linspace(-1, 1, width, dtype=np.float32)
        grey = image.sum(0) * np.float32(1 / 3)
        exposure = self.key / max(float(np.percentile(grey[::2, ::2], 76)), 1e-4)
        shade = (1 - np.float32(self.vignette / 2) * (down * down + right * right)) * np.float32(exposure)
        image += np.float32(self.saturation - 1) * (image - grey)
        image *= np.maximum(np.array(self.gains, np.float32), 0.5)[:, None, None] * shade
        np.maximum(image, np.float32(1e-5), out=image)
        # Highlights roll off, mid-tones keep their place: x ↦ 1.15·x / (1 + 0.25·x), then the display's exponent.
        image *= np.float32(1.15) / (1 + np.float32(0.25) * image)
        np.minimum(image, 1, out=image)
        np.power(image, np.float32(self.contrast / 2.0), out=image)
        image += generator.standard_normal(image.shape, np.float32) * np.float32(self.grain)
        return np.ascontiguousarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))


def _pooled(light: Array) -> Array:
    """Mean light of each pixel's rays; capped before, so that one bright ray does not fray an edge."""
    capped = np.minimum(light, 4 * max(float(light.mean()), 1e-3))
    rows = sum(capped[:, start::SAMPLES] for start in range(SAMPLES))
    return sum(rows[..., start::SAMPLES] for start in range(SAMPLES)) / np.float32(SAMPLES**2)


def picked(plane: Array) -> Array:
    """Of each pixel's rays one: [H · SAMPLES, W · SAMPLES, …] → [H, W, …]."""
    return np.ascontiguousarray(plane[SAMPLES // 2 :: SAMPLES, SAMPLES // 2 :: SAMPLES])
