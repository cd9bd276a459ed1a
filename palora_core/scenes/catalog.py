"""What the generator makes: kinds, classes, splits and the colours labels are drawn in."""

from __future__ import annotations

import numpy as np

# Bump whenever the bytes of any scene change; it is part of the cache's folder name and of every manifest.
GENERATOR_VERSION: int = 5

KINDS = ("rooms", "streets")
SPLITS = ("train", "val", "test")
ROOM_CLASSES = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
    *("picture", "sofa", "table", "tv", "wall", "window"),
)
STREET_CLASSES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
CLASSES = {"rooms": ROOM_CLASSES, "streets": STREET_CLASSES}
VOID = -1

BED, BOOKS, CEILING, CHAIR, FLOOR, FURNITURE, OBJECTS, PICTURE, SOFA, TABLE, TV, WALL, WINDOW = range(13)
FLAT, CONSTRUCTION, OBJECT, NATURE, SKY, HUMAN, VEHICLE = range(7)

# One row per class and a last, black row that void (-1) indexes.
PALETTES = {
    "rooms": np.array(
        [
            *([52, 84, 186], [226, 98, 52], [196, 220, 196], [142, 68, 196], [222, 206, 96], [214, 150, 140]),
            *([64, 190, 190], [116, 138, 210], [128, 44, 60], [214, 70, 190], [24, 140, 120], [206, 164, 118]),
            *([170, 216, 240], [0, 0, 0]),
        ],
        np.uint8,
    ),
    "streets": np.array(
        [
            *([128, 64, 128], [96, 92, 92], [230, 206, 40], [70, 142, 48], [112, 176, 216], [222, 40, 70]),
            *([24, 32, 160], [0, 0, 0]),
        ],
        np.uint8,
    ),
}
