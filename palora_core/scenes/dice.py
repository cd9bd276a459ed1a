"""Random choices of a scene's layout: thousands of scalars, so they come from ``random`` and not from NumPy."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Colour = tuple[float, float, float]


class Dice:
    """A seeded stream of scalars; the same integers give the same stream on every machine and Python version.

    Everything is built on ``random.Random.random``, the one method whose stream Python promises to keep. A scalar costs
    a tenth of what a NumPy generator takes for it.

    Args:
        entropy: non-negative integers that name the stream; zeros at the end make no difference.
    """

    def __init__(self, *entropy: int) -> None:
        words = np.random.SeedSequence(entropy).generate_state(5)
        self._random = random.Random(sum(int(word) << 32 * place for place, word in enumerate(words[:4]))).random
        self._pixel_seed = int(words[4])

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._random()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._random() < probability

    def normal(self, mean: float = 0.0, deviation: float = 1.0) -> float:
        """A Gaussian number, by Box and Muller."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self._random()))
        return mean + deviation * radius * math.cos(2.0 * math.pi * self._random())

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high)."""
        return low + int((high - low) * self._random())

    def poisson(self, mean: float) -> int:
        """A count with the given mean, by Knuth's product of uniforms."""
        limit, product, count = math.exp(-mean), self._random(), 0
        while product > limit:
            product *= self._random()
            count += 1
        return count

    def sign(self) -> int:
        """-1 or 1."""
        return 1 if self._random() < 0.5 else -1

    def pick(self, items: Sequence[Item]) -> Item:
        """One of ``items``, all equally likely."""
        return items[int(len(items) * self._random())]

    def weighted(self, weights: dict[Item, float]) -> Item:
        """One of the keys, with probability in proportion to its weight."""
        level = self._random() * sum(weights.values())
        for item, weight in weights.items():
            level -= weight
            if level < 0:
                return item
        return item

    def grey(self, low: float, high: float, tint: float = 0.12) -> Colour:
        """A brightness in [low, high) with channels that differ by about ``tint``."""
        value = self.uniform(low, high)
        red, green, blue = (max(value * (1.0 + tint * self.normal()), 0.0) for _ in range(3))
        return red, green, blue

    def colour(self, saturation: float = 0.5, low: float = 0.15, high: float = 0.95) -> Colour:
        """Any hue, saturation up to the given one, value in [low, high)."""
        return hsv(self._random(), self.uniform(0.0, saturation), self.uniform(low, high))

    def pixels(self) -> np.random.Generator:
        """A NumPy generator for whole arrays, such as sensor noise."""
        return np.random.Generator(np.random.PCG64(self._pixel_seed))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """RGB of a hue (in turns), saturation and value."""
    sector, fraction = int(hue * 6.0), hue * 6.0 % 1.0
    low = value * (1.0 - saturation)
    falling = value * (1.0 - fraction * saturation)
    rising = value * (1.0 - (1.0 - fraction) * saturation)
    wheel = (
        *((value, rising, low), (falling, value, low), (low, value, rising)),
        *((low, falling, value), (rising, low, value), (value, low, falling)),
    )
    return wheel[sector % 6]


def scaled(colour: Colour, factor: float) -> Colour:
    """``colour`` times ``factor``."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor
