"""Pieces of furniture; each stands on the floor of its frame with its front towards the frame's x."""

from __future__ import annotations

import math

from palora_core.scenes.catalog import BED, BOOKS, CHAIR, FURNITURE, OBJECTS, SOFA, TABLE, TV
from palora_core.scenes.dice import hsv, scaled
from palora_core.scenes.solids import Frame
from palora_core.scenes.stage import Stage


def bed(stage: Stage, frame: Frame, length: float, depth: float) -> None:
    """Frame, mattress, blanket, head board and pillows."""
    dice, scene = stage.dice, stage.scene
    wood = stage.paint("wood", stage.wood_tone())
    blanket = stage.paint(("cloth", "stripes", "dots"), dice.colour(0.6, 0.3, 1.0))
    linen = stage.paint("cloth", dice.grey(0.6, 1.1))
    scene.box(frame, (0, 0, 0.16), (depth / 2, length / 2, 0.14), wood, BED)
    scene.box(frame, (0, 0, 0.4), (depth / 2 - 0.02, length / 2 - 0.02, 0.12), linen, BED)
    scene.ellipsoid(frame, (0.15, 0, 0.5), (depth * 0.45, length * 0.51, 0.12), blanket, BED)
    scene.box(frame, (0.18, 0, 0.42), (depth * 0.41, length / 2 + 0.01, 0.13), blanket, BED)
    scene.box(frame, (-depth / 2, 0, 0.5), (0.05, length / 2 + 0.02, dice.uniform(0.35, 0.6)), wood, BED)
    for y in (-0.25 * length, 0.25 * length) if length > 1.3 else (0.0,):
        pillow = frame.at(-depth / 2 + 0.3, y, 0.58).yawed(dice.normal(0, 0.1))
        scene.ellipsoid(pillow, (0, 0, 0), (0.2, 0.3, 0.1), linen if dice.chance(0.6) else blanket, BED)


def sofa(stage: Stage, frame: Frame, length: float, depth: float) -> None:
    """Seat, back, round arms, seat cushions and a few loose ones."""
    dice, scene = stage.dice, stage.scene
    cover = stage.paint(("cloth", "cloth", "flat", "stripes", "dots"), dice.colour(0.5), gloss=dice.pick((0.0, 0.2)))
    scene.box(frame, (0, 0, 0.22), (depth / 2, length / 2, 0.2), cover, SOFA)
    scene.frustum(frame, (-depth / 2 + 0.14, 0, 0.58), (0.16, length / 2, 0.32), (0.6, 1), cover, SOFA)
    arm = length / 2 - 0.08
    stage.mirrored_boxes(frame, (0, arm, 0.36), (depth / 2, 0.09, 0.28), cover, SOFA)
    for y in (arm, -arm):
        scene.cylinder(frame, (0, y, 0.62), 0.1, depth / 2, cover, SOFA, axis="x")
    seats = max(1, int(length / 0.7))
    for seat in range(seats):
        y = (seat + 0.5 - seats / 2) * (length - 0.3) / seats
        half = (depth * 0.425, (length - 0.3) / seats / 1.8, 0.12)
        scene.ellipsoid(frame, (0.08, y, 0.45), half, cover, SOFA)
    for _ in range(dice.integer(0, 4)):
        loose = frame.at(-0.12, dice.uniform(-0.35, 0.35) * length, 0.68).pitched(-0.3)
        scene.ellipsoid(
            loose, (0, 0, 0), (0.09, 0.2, 0.2), stage.paint(("cloth", "dots", "stripes"), dice.colour(0.8)), SOFA
        )


def chair(stage: Stage, frame: Frame) -> None:
    """A seat on four legs or a swivel foot, with a closed or a barred back."""
    dice, scene = stage.dice, stage.scene
    colour = stage.wood_tone() if dice.chance(0.5) else dice.colour(0.7)
    cover = stage.paint(("wood", "cloth", "flat"), colour)
    seat, back, thick = dice.uniform(0.42, 0.5), dice.uniform(0.2, 0.34), dice.uniform(0.025, 0.05)
    scene.box(frame, (0, 0, seat), (0.21, 0.21, thick), cover, CHAIR)
    if dice.chance(0.5):
        tilted = frame.at(-0.2, 0, seat + back).pitched(-0.08)
        scene.frustum(tilted, (0, 0, 0), (0.035, 0.2, back), (1, 0.9), cover, CHAIR)
    else:
        for y in (-0.18, -0.06, 0.06, 0.18):
            scene.box(frame, (-0.2, y, seat + back), (0.02, 0.02, back), cover, CHAIR)
        scene.box(frame, (-0.2, 0, seat + 2 * back), (0.025, 0.2, 0.045), cover, CHAIR)
    if dice.chance(0.25):
        scene.cylinder(frame, (0, 0, seat / 2), 0.03, seat / 2, cover, CHAIR)
        for foot in range(5):
            turned = frame.yawed(foot * 2 * math.pi / 5)
            scene.box(turned, (0.14, 0, 0.05), (0.14, 0.025, 0.025), cover, CHAIR)
    else:
        stage.legs(frame, (0.18, 0.18), seat, 0.02, cover, CHAIR)


def table(stage: Stage, frame: Frame, length: float, depth: float, height: float) -> None:
    """A board on four legs."""
    dice, scene = stage.dice, stage.scene
    colour = stage.wood_tone() if dice.chance(0.7) else dice.grey(0.2, 1.0)
    cover = stage.paint("wood" if dice.chance(0.8) else "flat", colour, gloss=dice.pick((0.0, 0.2, 0.5)))
    scene.box(frame, (0, 0, height), (depth / 2, length / 2, 0.022), cover, TABLE)
    stage.legs(frame, (depth / 2 - 0.06, length / 2 - 0.06), height, 0.03, cover, TABLE)


def drawers(stage: Stage, frame: Frame, length: float, depth: float, height: float) -> None:
    """The closed part under a desk; counts as table."""
    wood = stage.paint("wood", stage.wood_tone())
    stage.scene.box(frame, (0, length / 2 - 0.25, height / 2), (depth / 2 - 0.03, 0.2, height / 2 - 0.03), wood, TABLE)


def shelf(stage: Stage, frame: Frame, length: float, depth: float, height: float) -> None:
    """Boards between two sides, with books or things on them."""
    dice, scene = stage.dice, stage.scene
    wood = stage.paint("wood", stage.wood_tone() if dice.chance(0.6) else dice.grey(0.5, 1.0))
    scene.box(frame, (-depth / 2 + 0.01, 0, height / 2), (0.01, length / 2, height / 2), wood, FURNITURE)
    stage.mirrored_boxes(frame, (0, length / 2 - 0.018, height / 2), (depth / 2, 0.018, height / 2), wood, FURNITURE)
    boards = max(2, int(height / dice.uniform(0.32, 0.45)))
    gap = (height - 0.06) / boards
    for board in range(boards + 1):
        z = 0.05 + gap * board
        scene.box(frame, (0, 0, z), (depth / 2, length / 2, 0.018), wood, FURNITURE)
        if board == boards or dice.chance(0.15):
            continue
        if dice.chance(0.7):
            half = length * dice.uniform(0.25, 0.48)
            y = dice.uniform(-1, 1) * (length / 2 - half - 0.03)
            spines = stage.paint("books", dice.grey(0.7, 1.1, 0.05), fit=True)
            scene.box(frame, (-0.02, y, z + 0.015 + gap * 0.38), (depth * 0.35, half, gap * 0.38), spines, BOOKS)
        else:
            scatter(stage, frame, length * 0.9, depth * 0.5, z + 0.015, dice.integer(1, 4))


def cabinet(stage: Stage, frame: Frame, length: float, depth: float, height: float) -> None:
    """A closed box with doors and knobs."""
    dice, scene = stage.dice, stage.scene
    colour = stage.wood_tone() if dice.chance(0.6) else dice.grey(0.4, 1.0)
    body = stage.paint("wood", colour, gloss=dice.pick((0.0, 0.15)))
    front, knob = stage.paint("wood", scaled(colour, dice.uniform(0.8, 1.1))), stage.plain((0.6, 0.55, 0.4), gloss=0.5)
    scene.box(frame, (0, 0, height / 2), (depth / 2, length / 2, height / 2), body, FURNITURE)
    doors = dice.integer(2, 5)
    for door in range(doors):
        y = (door + 0.5 - doors / 2) * length / doors
        half = (0.012, length / doors / 2 - 0.014, height / 2 - 0.03)
        scene.box(frame, (depth / 2 + 0.005, y, height / 2), half, front, FURNITURE)
        knob_place = (depth / 2 + 0.035, y + 0.3 * length / doors, height * 0.6)
        scene.ellipsoid(frame, knob_place, (0.022, 0.022, 0.022), knob, FURNITURE)


def television(stage: Stage, frame: Frame, length: float, depth: float, height: float) -> None:
    """A low board with a television on it."""
    dice, scene = stage.dice, stage.scene
    wood = stage.paint("wood", stage.wood_tone() if dice.chance(0.5) else dice.grey(0.05, 0.9))
    scene.box(frame, (0, 0, height / 2), (depth / 2, length / 2, height / 2), wood, FURNITURE)
    half = dice.uniform(0.35, 0.6)
    middle = height + 0.08 + half * 0.56
    case = stage.plain((0.03, 0.03, 0.035), gloss=0.4)
    picture = stage.paint("screen", dice.grey(0.1, 1.0), fit=True, gloss=0.5, lit=dice.pick((0.0, 0.7)))
    scene.box(frame, (0, 0, middle), (0.03, half, half * 0.56), case, TV)
    scene.box(frame, (0.031, 0, middle), (0.003, half * 0.95, half * 0.52), picture, TV)
    scene.box(frame, (0, 0, height + 0.04), (0.1, half * 0.4, 0.04), case, TV)


def monitor(stage: Stage, frame: Frame) -> None:
    """A computer screen on a foot; the frame stands on the table."""
    dice, scene = stage.dice, stage.scene
    case = stage.plain(dice.grey(0.05, 0.6))
    picture = stage.paint("screen", fit=True, gloss=0.4, lit=dice.uniform(0.0, 0.8))
    scene.box(frame, (0, 0, 0.3), (0.02, 0.28, 0.18), case, TV)
    scene.box(frame, (0.021, 0, 0.3), (0.003, 0.26, 0.16), picture, TV)
    scene.box(frame, (0, 0, 0.05), (0.06, 0.08, 0.06), case, TV)


def lamp(stage: Stage, frame: Frame, height: float) -> None:
    """A shade on a stem with a foot."""
    dice, scene = stage.dice, stage.scene
    stem = stage.plain(dice.grey(0.2, 0.8))
    shade = stage.paint("cloth", dice.grey(0.7, 1.1), glow=dice.pick((0.0, 0.9)))
    scene.cylinder(frame, (0, 0, 0.02), min(0.15, height / 2), 0.02, stem, OBJECTS)
    scene.cylinder(frame, (0, 0, height / 2), 0.02, height / 2, stem, OBJECTS)
    scene.frustum(frame, (0, 0, height + 0.1), (0.15, 0.15, 0.12), (0.65, 0.65), shade, OBJECTS)


def scatter(stage: Stage, frame: Frame, length: float, depth: float, height: float, count: int) -> None:
    """Things on a board at ``height``, and sometimes a pile of books."""
    dice = stage.dice
    for _ in range(count):
        thing(stage, frame.at(dice.uniform(-0.4, 0.4) * depth, dice.uniform(-0.42, 0.42) * length, height))
    for _ in range(dice.integer(0, 3)):
        pile = frame.at(dice.uniform(-0.3, 0.3) * depth, dice.uniform(-0.4, 0.4) * length, height)
        for book in range(dice.integer(1, 5)):
            turned = pile.yawed(dice.normal(0, 0.3))
            place = (0, 0, 0.02 + 0.04 * book)
            stage.scene.box(turned, place, (0.11, 0.08, 0.018), stage.plain(dice.colour(0.8)), BOOKS)


def thing(stage: Stage, frame: Frame, size: float = 1.0) -> None:
    """A parcel, a jar, a ball or a plant."""
    dice, scene = stage.dice, stage.scene
    size *= dice.uniform(0.7, 1.3)
    cover = stage.paint(
        ("flat", "painting", "cloth", "wood", "grain"), dice.colour(0.8), scale=2.0, gloss=dice.pick((0.0, 0.3))
    )
    turned = frame.yawed(dice.uniform(0, 6))
    shape = dice.weighted({"parcel": 0.35, "jar": 0.3, "ball": 0.17, "plant": 0.18})
    if shape == "parcel":
        x, y, z = (dice.uniform(0.03, 0.14) * size for _ in range(3))
        scene.box(turned, (0, 0, z), (x, y, z), cover, OBJECTS)
    elif shape == "jar":
        half = dice.uniform(0.05, 0.16) * size
        scene.cylinder(frame, (0, 0, half), dice.uniform(0.03, 0.08) * size, half, cover, OBJECTS)
    elif shape == "ball":
        radius = dice.uniform(0.05, 0.12) * size
        scene.ellipsoid(turned, (0, 0, radius), (radius * dice.uniform(0.7, 1.2), radius, radius), cover, OBJECTS)
    else:
        _plant(stage, frame, size, cover)


def _plant(stage: Stage, frame: Frame, size: float, pot: int) -> None:
    dice, scene = stage.dice, stage.scene
    scene.cylinder(frame, (0, 0, 0.1 * size), 0.08 * size, 0.1 * size, pot, OBJECTS)
    green = stage.paint("leaves", hsv(dice.uniform(0.2, 0.4), 0.5, 0.8), scale=2.0)
    for _ in range(4):
        place = (dice.normal(0, 0.06) * size, dice.normal(0, 0.06) * size, (0.2 + dice.uniform(0.03, 0.22)) * size)
        half = (dice.uniform(0.06, 0.14) * size, dice.uniform(0.06, 0.14) * size, dice.uniform(0.06, 0.14) * size)
        scene.ellipsoid(frame, place, half, green, OBJECTS, hole=0.42)
