"""Colours that stay apart for colour-blind eyes: classes, ordered values and errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Paul Tol's "muted" and "bright" schemes, ordered so that neighbours in the list differ in lightness as well; large
# calm areas (floor, wall, road, sky) usually come first and get the less saturated ones.
CLASSES = (
    *("#DDCC77", "#88CCEE", "#332288", "#CC6677", "#44AA99", "#882255", "#999933"),
    *("#AA4499", "#117733", "#EE7733", "#BBBBBB", "#0077BB", "#5B3A1E", "#F0E442"),
)
# What people expect of a class; each stays apart from the others of its benchmark in lightness or in hue.
EXPECTED = {
    **{"sky": "#7FC4F0", "window": "#8CCFF5", "nature": "#2F8F3A", "vegetation": "#2F8F3A", "terrain": "#A4C46A"},
    **{"flat": "#8D8D94", "road": "#8D8D94", "sidewalk": "#C9A6BE", "construction": "#A9714B", "building": "#A9714B"},
    **{"object": "#F0E442", "traffic sign": "#F0E442", "traffic light": "#F2A33A", "pole": "#5E5E5E"},
    **{"human": "#CC2A36", "person": "#CC2A36", "vehicle": "#28308F", "car": "#28308F"},
    **{"ceiling": "#F1EFE6", "wall": "#D9C79B", "floor": "#94643C", "table": "#5B3A1E", "furniture": "#999933"},
    **{"cabinet": "#999933", "bed": "#882255", "sofa": "#CC6677", "chair": "#EE7733", "books": "#AA4499"},
    **{"picture": "#F0E442", "tv": "#26263A", "television": "#26263A", "objects": "#44AA99", "plant": "#2F8F3A"},
}
# Viridis and magma (matplotlib, CC0), ten stops each: perceptually uniform, readable without colour.
VIRIDIS = (
    *("#440154", "#482878", "#3e4989", "#31688e", "#26828e"),
    *("#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"),
)
MAGMA = (
    *("#000004", "#180f3d", "#440f76", "#721f81", "#9e2f7f"),
    *("#cd4071", "#f1605d", "#fd9668", "#feca8d", "#fcfdbf"),
)
UNKNOWN = "#808080"
WRONG = "#E8590C"


def rgb(colour: str) -> tuple[int, int, int]:
    """``"#rrggbb"`` as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def class_colours(count: int) -> list[str]:
    """``count`` colours; beyond the list they repeat in lighter shades."""
    colours = []
    for index in range(count):
        shade = index // len(CLASSES)
        base = np.array(rgb(CLASSES[index % len(CLASSES)]), dtype=float)
        mixed = base + (255 - base) * (1 - 0.65**shade)
        colours.append("#{:02x}{:02x}{:02x}".format(*(round(v) for v in mixed)))
    return colours


def colours_of(names: Sequence[str]) -> list[str]:
    """A colour per class name: the expected one where there is one, otherwise the next of the list that is free."""
    expected = [EXPECTED.get(name.lower()) for name in names]
    taken = {colour for colour in expected if colour}
    free = iter(colour for colour in class_colours(2 * len(names) + len(CLASSES)) if colour.upper() not in taken)
    found: list[str] = []
    for colour in expected:
        found.append(next(free) if colour is None or colour in found else colour)
    return found


def ramp(stops: tuple[str, ...], count: int = 255) -> np.ndarray:
    """``count`` colours [count, 3] uint8, linear between the stops."""
    values = np.array([rgb(stop) for stop in stops], dtype=float)
    position = np.linspace(0, len(stops) - 1, count)
    channels = [np.interp(position, np.arange(len(stops)), values[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)
