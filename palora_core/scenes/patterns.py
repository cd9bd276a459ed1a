"""Tileable patterns that textures are made of: noise, grounds, walls, wood, cloth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Array = np.ndarray


def noise(rng: np.random.Generator, side: int, octaves: int = 6, persistence: float = 0.55, first: int = 2) -> Array:
    """Tileable value noise [S, S] in [0, 1].

    Args:
        rng: source of the lattice values.
        side: S.
        octaves: number of frequencies, each twice the one before.
        persistence: amplitude of an octave relative to the one before.
        first: lattice cells per side of the first octave.
    """
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        cells = first << octave
        if cells > side:
            break
        total += np.float32(persistence**octave) * _stretch(rng.random((cells, cells), np.float32), side)
    total -= total.min()
    return total / total.max()


def _stretch(lattice: Array, side: int) -> Array:
    """A periodic lattice, smoothly interpolated to side × side."""
    cells = len(lattice)
    place = np.arange(side, dtype=np.float32) * cells / side
    low = place.astype(int)
    weight = place - low
    weight = weight * weight * (3 - 2 * weight)
    high = (low + 1) % cells
    rows = lattice[low] * (1 - weight)[:, None] + lattice[high] * weight[:, None]
    return rows[:, low] * (1 - weight) + rows[:, high] * weight


def draw_all(rng: np.random.Generator, side: int) -> dict[str, list[Array]]:
    """Groups of textures without content, name → list of [S, S, 3]."""
    groups: dict[str, list[Array]] = {"flat": [np.ones((side, side, 3), np.float32)]}
    painters = {
        "mask": lambda: [grey(noise(rng, side, 5, 0.75, 8))],
        "clouds": lambda: [grey(noise(rng, side, 7, 0.55, 2)) for _ in range(2)],
        "grain": lambda: [grey(0.75 + 0.25 * noise(rng, side, 7, 0.9, 32))],
        "asphalt": lambda: [asphalt(rng, side) for _ in range(4)],
        "paving": lambda: [paving(rng, side, cells) for cells in (6, 10, 16)],
        "grass": lambda: [leaves(rng, side, 4) for _ in range(3)],
        "leaves": lambda: [leaves(rng, side, 16) for _ in range(3)],
        "brick": lambda: [brick(rng, side, rows) for rows in (12, 20)],
        "plaster": lambda: [plaster(rng, side) for _ in range(3)],
        "wood": lambda: [wood(rng, side, planks) for planks in (5, 8)],
        "cloth": lambda: [cloth(rng, side) for _ in range(3)],
        "carpet": lambda: [grey(0.7 + 0.35 * (noise(rng, side, 4, 0.95, 32) - 0.5)) for _ in range(2)],
        "stripes": lambda: [stripes(rng, side, count) for count in (4, 8, 14)],
        "dots": lambda: [dots(rng, side, count) for count in (3, 5, 8)],
    }
    for name, paint in painters.items():
        groups[name] = paint()
    return groups


def grid(side: int) -> tuple[Array, Array]:
    """Coordinates u (columns) and v (rows) in [0, 1), each [S, S]."""
    v, u = np.mgrid[0:side, 0:side].astype(np.float32) / side
    return u, v


def grey(values: Array) -> Array:
    """[S, S] as [S, S, 3]."""
    return np.repeat(values.astype(np.float32)[..., None], 3, axis=2)


def asphalt(rng: np.random.Generator, side: int) -> Array:
    """Grainy, with cracks and darker patches."""
    values = 0.72 + 0.16 * noise(rng, side) + 0.22 * (rng.random((side, side), np.float32) - 0.5)
    values *= np.where(np.abs(noise(rng, side, first=3) - 0.5) < 0.008, 0.55, 1.0)
    values *= np.where(noise(rng, side, 4, 0.4) > 0.72, 0.82, 1.0)
    return grey(values)


def paving(rng: np.random.Generator, side: int, cells: int) -> Array:
    """Square slabs of slightly different brightness with dark joints."""
    u, v = grid(side)
    slab = rng.random((cells, cells), np.float32)[(v * cells).astype(int), (u * cells).astype(int)]
    values = 0.8 + 0.25 * (noise(rng, side, 6, 0.7, 8) - 0.5) + 0.16 * (slab - 0.5)
    joint = ((u * cells) % 1 < 0.06) | ((v * cells) % 1 < 0.06)
    return grey(np.where(joint, 0.5, values))


def leaves(rng: np.random.Generator, side: int, first: int) -> Array:
    """Ragged light and dark; nearly white, so that the material's colour gives grass, hedges and trees."""
    values = noise(rng, side, 7, 0.8, first)
    return np.stack([0.35 + 0.75 * values, 0.4 + 0.75 * values, 0.3 + 0.6 * values], axis=-1)


def brick(rng: np.random.Generator, side: int, rows: int) -> Array:
    """Courses of bricks, every other one shifted, with light mortar."""
    u, v = grid(side)
    row = (v * rows).astype(int)
    along = (u * rows / 2 + 0.5 * (row % 2)) % (rows // 2)
    shade = rng.random((rows, rows), np.float32)[row % rows, along.astype(int) % rows]
    values = 0.75 + 0.35 * (shade - 0.5) + 0.2 * (noise(rng, side, 7, 0.8, 16) - 0.5)
    mortar = ((v * rows) % 1 < 0.12) | (along % 1 < 0.06)
    return np.where(mortar[..., None], np.float32(0.78), values[..., None] * np.array([1, 0.93, 0.88], np.float32))


def plaster(rng: np.random.Generator, side: int) -> Array:
    """Nearly even, with stains."""
    return grey(0.86 + 0.2 * (noise(rng, side, 7, 0.7) - 0.5) + 0.06 * (rng.random((side, side), np.float32) - 0.5))


def wood(rng: np.random.Generator, side: int, planks: int) -> Array:
    """Planks with grain along v."""
    u, _ = grid(side)
    plank = (u * planks).astype(int)
    tones = rng.random(planks).astype(np.float32)
    grain = noise(rng, side, 6, 0.7)[:, (np.arange(side) * 6) % side]
    values = 0.75 + 0.3 * (tones[plank % planks] - 0.5) + 0.22 * (grain - 0.5)
    values = np.where((u * planks) % 1 < 0.03, 0.45, values)
    return np.stack([values, values * 0.93, values * 0.84], axis=-1)


def cloth(rng: np.random.Generator, side: int) -> Array:
    """Fine weave with soft folds."""
    return grey(0.8 + 0.25 * (noise(rng, side, 5, 0.9, 16) - 0.5) + 0.12 * (noise(rng, side, 3, 0.5) - 0.5))


def stripes(rng: np.random.Generator, side: int, count: int) -> Array:
    """Upright stripes in two colours."""
    u, _ = grid(side)
    colours = rng.random((2, 3)).astype(np.float32) * 0.6 + 0.4
    upper = np.sin(u * 2 * np.pi * count) > rng.uniform(-0.6, 0.6)
    return np.where(upper[..., None], *colours) * (0.85 + 0.15 * grey(noise(rng, side, 5, 0.8, 16)))


def dots(rng: np.random.Generator, side: int, count: int) -> Array:
    """Dots in rows."""
    u, v = grid(side)
    colours = rng.random((2, 3)).astype(np.float32) * 0.5 + 0.5
    inside = ((u * count) % 1 - 0.5) ** 2 + ((v * count) % 1 - 0.5) ** 2 < rng.uniform(0.03, 0.12)
    return np.where(inside[..., None], *colours) * (0.9 + 0.1 * grey(noise(rng, side, 5, 0.8, 8)))


def rectangles(rng: np.random.Generator, side: int, count: int) -> Iterator[tuple[slice, slice]]:
    """Random windows into a texture."""
    for _ in range(count):
        top, left, height, width = (rng.random(4) * side * np.array([0.9, 0.9, 0.4, 0.4])).astype(int)
        yield slice(top, top + height + 2), slice(left, left + width + 2)
