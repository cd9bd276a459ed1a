"""What stands along streets: houses, walls, hedges, trees, lamps, signs, bins; frames stand on the ground."""

from __future__ import annotations

import math

from palora_core.scenes.catalog import CONSTRUCTION, NATURE, OBJECT, VOID
from palora_core.scenes.dice import Colour, hsv
from palora_core.scenes.solids import Frame
from palora_core.scenes.stage import Stage

# Walls wear any of these in a strange scene: the shape says how far, the texture what it is.
_ODD_WALLS = ("facade", "facade", "brick", "plaster", "stripes", "dots", "painting", "wood", "paving")
_SIGNALS: tuple[Colour, ...] = ((0.1, 1.0, 0.3), (1.0, 0.8, 0.1), (1.0, 0.1, 0.1))


def leaf_colour(stage: Stage, strange: bool) -> Colour:
    """Mostly green; autumn now and then; in strange scenes any hue."""
    dice = stage.dice
    if strange and dice.chance(0.5):
        return hsv(dice.uniform(), dice.uniform(0.05, 0.7), dice.uniform(0.4, 1.1))
    if dice.chance(0.12):
        return hsv(dice.uniform(0.02, 0.14), 0.6, 0.9)
    return hsv(dice.uniform(0.14, 0.38), dice.uniform(0.2, 0.75), dice.uniform(0.4, 1.2))


def house(stage: Stage, frame: Frame, length: float, side: int, strange: bool, dark: bool) -> None:
    """A house of ``length`` behind the frame (side 1: to the left), with shop, roof, balconies as they come."""
    dice, scene = stage.dice, stage.scene
    depth = dice.uniform(4, 8)
    height = dice.uniform(2.2, 5.0) if dice.chance(0.25) else dice.uniform(4.0, 14.0)
    middle = frame.at(0, side * depth, 0)
    scene.box(middle, (0, 0, height), (length / 2, depth, height), _wall(stage, strange, dark), CONSTRUCTION)
    if dice.chance(0.5):
        shop = stage.paint("shop", dice.grey(0.7, 1.1), scale=1 / dice.uniform(5, 9), gloss=0.2, lit=1.2 * dark)
        scene.box(middle, (0, -side * (depth + 0.03), 1.7), (length * 0.485, 0.05, 1.7), shop, CONSTRUCTION)
    if dice.chance(0.5):
        tiles = stage.paint(
            "brick", hsv(dice.uniform(0, 0.1), dice.uniform(0.1, 0.6), dice.uniform(0.3, 0.8)), scale=0.3
        )
        rise = dice.uniform(0.6, 1.6)
        half = (length * 0.51, depth * 1.05, rise)
        scene.frustum(middle, (0, 0, 2 * height + rise), half, (0.9, 0.05), tiles, CONSTRUCTION)
    for _ in range(dice.integer(0, 5) if dice.chance(0.4) else 0):
        ledge = stage.paint(("stripes", "plaster", "plaster"), dice.grey(0.3, 1.0, 0.3))
        place = (dice.uniform(-0.4, 0.4) * length, -side * (depth + 0.5), dice.uniform(2.6, max(2 * height - 1, 3.0)))
        scene.box(middle, place, (dice.uniform(0.8, 2.0), 0.5, dice.uniform(0.08, 0.5)), ledge, CONSTRUCTION)


def _wall(stage: Stage, strange: bool, dark: bool) -> int:
    dice = stage.dice
    lit = dice.uniform(0.5, 1.6) * dark
    if strange:
        # Window sizes, colours and patterns vary by a factor of 4, so that they do not give the distance away.
        scale = math.exp(dice.uniform(math.log(0.04), math.log(0.22)))
        return stage.paint(_ODD_WALLS, dice.colour(0.65, 0.3, 1.2), scale=scale, gloss=0.1, lit=lit)
    tone = dice.grey(0.45, 1.1, 0.1)
    if dice.chance(0.8):
        return stage.paint("facade", tone, scale=1 / dice.uniform(7, 18), gloss=0.1, lit=lit)
    if dice.chance(0.5):
        return stage.paint("brick", (tone[0], 0.7 * tone[1], 0.6 * tone[2]), scale=0.4)
    return stage.paint("plaster", tone, scale=0.4)


def barrier(stage: Stage, frame: Frame, length: float, strange: bool) -> None:
    """A wall, a fence or a hedge along the frame's x; a green wall and a brown hedge differ by texture alone."""
    dice, scene = stage.dice, stage.scene
    shape = dice.weighted({"wall": 0.35, "fence": 0.2, "hedge": 0.45})
    height = dice.uniform(0.5, 1.3)
    if shape == "wall":
        colour = dice.grey(0.4, 0.9) if dice.chance(0.6) else leaf_colour(stage, strange)
        cover = stage.paint(("brick", "plaster", "wood"), colour, scale=0.4)
        scene.box(frame, (0, 0, height), (length / 2, dice.uniform(0.12, 0.5), height), cover, CONSTRUCTION)
    elif shape == "fence":
        scene.box(frame, (0, 0, 0.7), (length / 2, 0.03, 0.7), stage.plain(dice.grey(0.1, 0.7)), CONSTRUCTION, hole=0.5)
    else:
        cover = stage.paint("leaves", leaf_colour(stage, strange), scale=0.5)
        scene.box(frame, (0, 0, height), (length / 2, dice.uniform(0.3, 0.6), height), cover, NATURE)


def tree(stage: Stage, frame: Frame, strange: bool) -> None:
    """A trunk under three to five ragged crowns."""
    dice, scene = stage.dice, stage.scene
    trunk, spread = dice.uniform(1.4, 3.8), dice.uniform(0.8, 2.6)
    bark = stage.paint("wood", (0.45, 0.36, 0.3), scale=0.8)
    scene.cylinder(frame, (0, 0, trunk / 2), dice.uniform(0.09, 0.25), trunk / 2 + 0.3, bark, NATURE)
    green, hole = stage.paint("leaves", leaf_colour(stage, strange), scale=0.35), dice.uniform(0.3, 0.5)
    for _ in range(dice.integer(3, 6)):
        place = (dice.normal(0, 0.5) * spread, dice.normal(0, 0.5) * spread, trunk + spread * dice.uniform(0.2, 1.3))
        half = (spread * dice.uniform(0.55, 1), spread * dice.uniform(0.55, 1), spread * dice.uniform(0.55, 1))
        scene.ellipsoid(frame, place, half, green, NATURE, hole=hole)


def lamp_post(stage: Stage, frame: Frame, side: int, dark: bool) -> Frame | None:
    """A post, mostly with an arm over the road; gives the place of its light."""
    dice, scene = stage.dice, stage.scene
    height, arm = dice.uniform(3.5, 8), dice.uniform(0.5, 1.6)
    metal = stage.plain(dice.grey(0.15, 0.6), gloss=0.1)
    scene.cylinder(frame, (0, 0, height / 2), dice.uniform(0.06, 0.12), height / 2, metal, OBJECT)
    if dice.chance(0.3):
        traffic_light(stage, frame.at(-0.15, 0, dice.uniform(2.3, 3.2)))
    if not dice.chance(0.8):
        return None
    head = stage.plain((1.0, 0.85, 0.6), glow=4.0) if dark else metal
    scene.cylinder(frame, (0, -side * arm, height), 0.05, arm, metal, OBJECT, axis="y")
    scene.box(frame, (0, -2 * side * arm, height - 0.05), (0.12, 0.35, 0.07), head, OBJECT)
    return frame.at(0, -2 * side * arm, height - 0.2)


def traffic_light(stage: Stage, frame: Frame) -> None:
    """Three lights above each other, one of them on, seen by those who drive along x."""
    stage.scene.box(frame, (0, 0, 0), (0.12, 0.17, 0.45), stage.plain((0.05, 0.06, 0.05)), OBJECT)
    burning = stage.dice.integer(0, 3)
    for number, (red, green, blue) in enumerate(_SIGNALS):
        on = number == burning
        dim = 1.0 if on else 0.15
        light = stage.plain((red * dim, green * dim, blue * dim), glow=1.2 if on else 0.0)
        stage.scene.cylinder(frame, (-0.13, 0, 0.28 * (number - 1)), 0.1, 0.02, light, OBJECT, axis="x")


def sign(stage: Stage, frame: Frame) -> None:
    """A post with a round or square sign, or a traffic light."""
    dice, scene = stage.dice, stage.scene
    height = dice.uniform(1.8, 3.2)
    scene.cylinder(frame, (0, 0, height / 2), 0.035, height / 2, stage.plain(dice.grey(0.4, 0.8, 0.03)), OBJECT)
    top = frame.at(-0.06, 0, height).yawed(dice.normal(0, 0.4))
    if dice.chance(0.3):
        traffic_light(stage, top)
        return
    face = stage.paint("sign", fit=True)
    if dice.chance(0.5):
        scene.cylinder(top, (0, 0, 0), dice.uniform(0.22, 0.4), 0.02, face, OBJECT, axis="x")
    else:
        scene.box(top, (0, 0, 0), (0.02, dice.uniform(0.25, 0.7), dice.uniform(0.2, 0.5)), face, OBJECT)


def bin_or_box(stage: Stage, frame: Frame) -> None:
    """Things without a class, as CityScapes leaves them void."""
    dice, scene = stage.dice, stage.scene
    height, colour = dice.uniform(0.4, 0.9), dice.grey(0.2, 0.8, 0.4)
    if dice.chance(0.5):
        half = (dice.uniform(0.2, 0.6), dice.uniform(0.2, 0.4), height)
        scene.box(frame.yawed(dice.uniform(0, 3)), (0, 0, height), half, stage.paint("plaster", colour), VOID)
    else:
        scene.cylinder(frame, (0, 0, height), dice.uniform(0.2, 0.35), height, stage.plain(colour), VOID)


def backdrop(stage: Stage, frame: Frame, strange: bool, dark: bool) -> None:
    """A house or a hill far away, so that the horizon is rarely empty."""
    dice, scene = stage.dice, stage.scene
    height = dice.uniform(3, 16)
    if dice.chance(0.5):
        scene.box(frame, (0, 0, height), (8, dice.uniform(6, 18), height), _wall(stage, strange, dark), CONSTRUCTION)
    else:
        half = (8, dice.uniform(6, 20), dice.uniform(4, 10))
        scene.ellipsoid(frame, (0, 0, 3), half, stage.paint("leaves", leaf_colour(stage, strange), scale=0.1), NATURE)
