"""Time of day and weather of a street: sun, sky, fog, and how far colours wander from what is usual."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from palora_core.scenes.dice import Colour, Dice, hsv
from palora_core.scenes.surface import dot
from palora_core.scenes.textures import TextureBank

Array = np.ndarray


@dataclass(frozen=True)
class Mode:
    """A time of day: the sun's height (radians) and strength, four colours, exposure, and how common it is."""

    elevation: tuple[float, float]
    strength: tuple[float, float]
    sunlight: Colour
    ambient: Colour
    horizon: Colour
    zenith: Colour
    key: float
    share: float


MODES = {
    "sun": Mode(
        (0.5, 1.2), (1.1, 1.9), (1, 0.96, 0.9), (0.4, 0.48, 0.6), (0.78, 0.85, 0.95), (0.25, 0.45, 0.8), 0.5, 0.3
    ),
    "overcast": Mode(
        (0.6, 1.3), (0, 0.25), (1, 1, 1), (0.8, 0.82, 0.85), (0.82, 0.84, 0.87), (0.66, 0.69, 0.74), 0.5, 0.27
    ),
    "low": Mode(
        (0.12, 0.4), (0.9, 1.7), (1, 0.75, 0.5), (0.36, 0.4, 0.55), (0.95, 0.82, 0.65), (0.4, 0.5, 0.7), 0.5, 0.18
    ),
    "dusk": Mode(
        (0.1, 0.3), (0, 0.1), (1, 0.7, 0.5), (0.26, 0.28, 0.38), (0.6, 0.5, 0.52), (0.15, 0.2, 0.38), 0.5, 0.12
    ),
    "night": Mode(
        (0.3, 0.9), (0, 0.04), (0.7, 0.8, 1), (0.05, 0.055, 0.08), (0.09, 0.08, 0.1), (0.01, 0.015, 0.04), 0.24, 0.13
    ),
}


@dataclass(frozen=True)
class Weather:
    """The light a street is seen in.

    Attributes:
        dark: whether lamps, windows and headlights are on.
        sun: unit direction towards the sun [3].
        sunlight: colour times strength [3, 1].
        ambient: light from all sides [3, 1].
        horizon: sky colour above the horizon [3, 1].
        zenith: sky colour overhead [3, 1].
        haze: colour of the fog [3, 1].
        fog: share of light lost per metre.
        clouds: texture, offset u, offset v, coverage.
        strange: whether surfaces wear textures and colours that they do not usually have.
        wet: extra gloss of the road.
        key: brightness that pictures are exposed for.
    """

    dark: bool
    sun: Array
    sunlight: Array
    ambient: Array
    horizon: Array
    zenith: Array
    haze: Array
    fog: float
    clouds: tuple[int, float, float, float]
    strange: bool
    wet: float
    key: float

    @classmethod
    def draw(cls, dice: Dice, bank: TextureBank) -> Weather:
        """Random weather; fog and odd colours come with any time of day."""
        name = dice.weighted({name: mode.share for name, mode in MODES.items()})
        mode = MODES[name]
        height, heading = dice.uniform(*mode.elevation), dice.uniform(0, 2 * math.pi)
        sun = (math.cos(heading) * math.cos(height), math.sin(heading) * math.cos(height), math.sin(height))
        brightness = dice.uniform(0.85, 1.1)
        horizon = _column(mode.horizon, brightness)
        tint = _column(hsv(dice.uniform(), dice.uniform(0, 0.25), 1.0), 1.0) if dice.chance(0.4) else 1.0
        return cls(
            dark=name in ("dusk", "night"),
            sun=np.array(sun),
            sunlight=_column(mode.sunlight, dice.uniform(*mode.strength)),
            ambient=_column(mode.ambient, dice.uniform(0.75, 1.2)),
            horizon=horizon,
            zenith=_column(mode.zenith, brightness * dice.uniform(0.85, 1.1)),
            haze=np.float32(1) * horizon * tint,
            fog=dice.weighted({0.0005: 0.3, 0.003: 0.3, 0.01: 0.22, 0.025: 0.18}) * dice.uniform(0.7, 1.3),
            clouds=(bank.pick(dice, "clouds"), dice.uniform(), dice.uniform(), dice.uniform(0.3, 0.8)),
            strange=dice.chance(0.35),
            wet=dice.uniform(0.15, 0.5) if dice.chance(0.2) else 0.0,
            key=mode.key,
        )

    def sky(self, direction: Array, bank: TextureBank) -> Array:
        """Sky light [3, N] from unit directions [3, N]."""
        up = np.clip(direction[2], 0, 1)
        share = np.sqrt(up)
        texture, offset_u, offset_v, coverage = self.clouds
        distance = np.float32(0.12) / np.maximum(direction[2], np.float32(0.03))
        u, v = direction[0] * distance + np.float32(offset_u), direction[1] * distance + np.float32(offset_v)
        cloud = bank.sample(texture, u, v, np.ones_like(up))[0]
        cloud = np.clip((cloud - np.float32(coverage)) * 3, 0, 1) * np.minimum(up * 6, 1) * np.float32(0.75)
        glare = np.maximum(dot(self.sun.astype(np.float32), direction), 0) ** 6
        glare = np.float32(0.12) * glare + np.float32(0.4) * glare**10
        white = np.float32(self.horizon.mean()) * cloud
        return (self.horizon * (1 - share) + self.zenith * share) * (1 - cloud) + white + self.sunlight * glare

    def through_air(self, light: Array, depth: Array) -> Array:
        """``light`` [3, N] after ``depth`` metres [N] of fog."""
        kept = np.exp(np.float32(-self.fog) * depth)
        return light * kept + self.haze * (1 - kept)


def _column(colour: Colour, factor: float) -> Array:
    return (np.array(colour, np.float32) * np.float32(factor))[:, None]
