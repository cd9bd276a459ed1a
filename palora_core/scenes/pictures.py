"""Textures with a content: house fronts, shop windows, books, paintings, signs, screens, the view from a window."""

from __future__ import annotations

import numpy as np

from palora_core.scenes import patterns

Array = np.ndarray
_SIGN_COLOURS = np.array(
    [[0.8, 0.05, 0.05], [0.05, 0.15, 0.7], [0.9, 0.9, 0.9], [0.95, 0.8, 0.05], [0.05, 0.5, 0.15]], np.float32
)


def draw_all(rng: np.random.Generator, side: int) -> dict[str, list[Array]]:
    """Groups of textures, name → list of [S, S, 3 or 4]; rows run from the bottom up."""
    return {
        "facade": [facade(rng, side) for _ in range(16)],
        "shop": [shop(rng, side) for _ in range(5)],
        "painting": [painting(rng, side) for _ in range(10)],
        "sign": [sign(rng, side) for _ in range(8)],
        "books": [books(rng, side) for _ in range(6)],
        "outside": [outside(rng, side) for _ in range(4)],
        "screen": [screen(rng, side) for _ in range(4)],
    }


def facade(rng: np.random.Generator, side: int) -> Array:
    """A wall with rows of windows; the fourth channel marks panes that are lit at night."""
    tone = rng.uniform(0.6, 1) * np.array([1, 0.96, 0.88]) * (1 + 0.07 * rng.normal(size=3))
    image = np.zeros((side, side, 4), np.float32)
    image[..., :3] = tone * (0.86 + 0.28 * patterns.noise(rng, side, 7, 0.7))[..., None]
    if rng.random() < 0.4:
        image[(np.arange(side) * 40 // side) % 2 == 1, :, :3] *= 0.93
    columns, rows = (int(count) for count in rng.integers(3, 6, 2))
    half_width, half_height = rng.uniform(0.35, 0.75) / 2 / columns, rng.uniform(0.45, 0.75) / 2 / rows
    frame, lights = rng.uniform(0.55, 1), rng.uniform(0.1, 0.6)
    for column in range(columns):
        for row in range(rows):
            u, v = (column + 0.5) / columns, (row + 0.5) / rows
            left, right = (int(side * edge) for edge in (u - half_width, u + half_width))
            top, bottom = (int(side * edge) for edge in (v - half_height, v + half_height))
            image[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2, :3] = frame
            image[top:bottom, left:right] = _pane(rng, bottom - top, right - left, lights)
            image[top:bottom, (left + right) // 2 - 1 : (left + right) // 2 + 1, :3] = frame * 0.8
    return image[::-1]


def _pane(rng: np.random.Generator, height: int, width: int, lights: float) -> Array:
    pane = np.zeros((height, width, 4), np.float32)
    glass = rng.uniform(0.05, 0.4) * np.array([0.8, 0.95, 1.1])
    pane[..., :3] = glass * np.linspace(rng.uniform(0.6, 1.8), 1, height)[:, None, None]
    if rng.random() < 0.25:
        pane[: int(height * rng.uniform(0.2, 0.9)), :, :3] = rng.uniform(0.6, 0.95, 3)
    if rng.random() < lights:
        pane[..., 3] = rng.uniform(0.4, 1)
        pane[..., :3] = 0.5 * pane[..., :3] + 0.5 * np.array([0.9, 0.75, 0.45])
    return pane


def shop(rng: np.random.Generator, side: int) -> Array:
    """A ground floor: shop windows under a band with writing; windows and writing are lit at night."""
    image = np.zeros((side, side, 4), np.float32)
    image[..., :3] = rng.uniform(0.4, 0.9, 3)
    count = int(rng.integers(2, 4))
    window, band, writing = slice(40, side - 70), slice(side - 62, side - 20), slice(side - 50, side - 32)
    for part in range(count):
        left, right = part * side // count + 8, (part + 1) * side // count - 8
        goods = 0.5 + patterns.noise(rng, side, 5, 0.6, 3)[window, left:right, None]
        image[window, left:right, :3] = rng.uniform(0.08, 0.35) * np.array([0.9, 1, 1.1]) * goods
        image[window, left:right, 3] = rng.uniform(0, 0.9)
        image[band, left:right, :3] = rng.random(3)
        for _ in range(8):
            start = int(rng.integers(left, right - 6))
            letter = slice(start, start + int(rng.integers(3, 7)))
            image[writing, letter, :3] = rng.random(3)
            image[writing, letter, 3] = 0.8
    return image


def painting(rng: np.random.Generator, side: int) -> Array:
    """Fields of colour with a few rectangles, framed."""
    colours = rng.random((5, 3)).astype(np.float32)
    first, second = (patterns.noise(rng, side, 5, 0.6, cells) for cells in (2, 3))
    image = colours[(first * 4.99).astype(int)] * 0.7 + 0.3 * colours[(second * 4.99).astype(int)]
    for window in patterns.rectangles(rng, side, int(rng.integers(0, 6))):
        image[window] = rng.random(3)
    u, v = patterns.grid(side)
    border = np.maximum(np.abs(u - 0.5), np.abs(v - 0.5)) > 0.46
    image[border] = rng.random(3) * 0.5
    return image


def sign(rng: np.random.Generator, side: int) -> Array:
    """A road sign: border, field and a bar."""
    u, v = patterns.grid(side)
    border, field = rng.permutation(5)[:2]
    edge = np.maximum(np.abs(u - 0.5), np.abs(v - 0.5)) > 0.36
    image = np.where(edge[..., None], _SIGN_COLOURS[border], _SIGN_COLOURS[field])
    image[(np.abs(u - 0.5) < 0.2) & (np.abs(v - 0.5) < 0.07)] = _SIGN_COLOURS[rng.integers(5)]
    return image


def books(rng: np.random.Generator, side: int) -> Array:
    """Spines side by side on a board."""
    image = np.full((side, side, 3), 0.08, np.float32)
    left = 0
    while left < side - 4:
        width, height = int(rng.integers(6, 22)), int(side * rng.uniform(0.6, 1))
        image[:height, left : left + width] = rng.random(3) * rng.uniform(0.4, 1)
        image[:height, left] *= 0.4
        if rng.random() < 0.6:
            image[int(height * 0.3) : int(height * 0.45), left + 1 : left + width - 1] = rng.random(3)
        left += width + (int(rng.integers(4, 20)) if rng.random() < 0.15 else 0)
    return image


def outside(rng: np.random.Generator, side: int) -> Array:
    """Sky over trees, seen through a window with a cross of bars; all of it gives light."""
    u, v = patterns.grid(side)
    cloud = patterns.noise(rng, side, 4, 0.5)
    sky = np.stack([0.45 + 0.3 * cloud, 0.6 + 0.3 * cloud, 0.8 + 0.2 * cloud], axis=-1)
    green = patterns.noise(rng, side)
    trees = np.stack([0.15 + 0.3 * green, 0.3 + 0.4 * green, 0.15 + 0.15 * green], axis=-1)
    image = np.where((patterns.noise(rng, side, 6, 0.7, 3) + 1.6 * v < 1)[..., None], trees, sky)
    image[(np.abs(u - 0.5) < 0.02) | (np.abs(v - 0.5) < 0.015)] = 0.85
    return np.concatenate([image, np.ones((side, side, 1), np.float32)], axis=2)


def screen(rng: np.random.Generator, side: int) -> Array:
    """A soft picture that gives light."""
    values = patterns.noise(rng, side, 5, 0.6)[..., None] * rng.random(3) * rng.uniform(0.3, 1)
    return np.concatenate([values.astype(np.float32), np.ones((side, side, 1), np.float32)], axis=2)
