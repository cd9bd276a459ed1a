"""What moves or parks on streets: cars, vans, buses, bicycles, people; frames stand on the ground, x is ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass

from palora_core.scenes.catalog import HUMAN, VEHICLE, VOID
from palora_core.scenes.dice import Colour, hsv
from palora_core.scenes.solids import Frame
from palora_core.scenes.stage import Stage

DETAIL = 28.0  # metres beyond which small parts are left out


@dataclass(frozen=True)
class Paints:
    """Materials of a vehicle."""

    body: int
    glass: int
    front_light: int
    rear_light: int
    tyre: int
    hub: int


def _paints(stage: Stage, dark: bool) -> Paints:
    dice = stage.dice
    colour = (
        dice.grey(0.03, 0.95, 0.03)
        if dice.chance(0.6)
        else hsv(dice.uniform(), dice.uniform(0.4, 0.95), dice.uniform(0.25, 0.9))
    )
    return Paints(
        body=stage.plain(colour, gloss=0.5),
        glass=stage.plain(dice.grey(0.04, 0.18, 0.1), gloss=0.8),
        front_light=stage.plain((1.0, 1.0, 0.92), glow=4.0 if dark else dice.pick((0.1, 0.6))),
        rear_light=stage.plain((0.75, 0.05, 0.05), glow=1.5 if dark else dice.pick((0.0, 0.25))),
        tyre=stage.plain((0.06, 0.06, 0.06)),
        hub=stage.plain(dice.grey(0.3, 0.8, 0.02), gloss=0.3),
    )


def car(stage: Stage, frame: Frame, dark: bool, distance: float) -> None:
    """A saloon or an estate: body, cabin, wheels and, if near, lights, plates and roof."""
    dice, scene, paints = stage.dice, stage.scene, _paints(stage, dark)
    length, width = dice.uniform(1.7, 2.5), dice.uniform(0.78, 0.97)
    ground, body = dice.uniform(0.2, 0.3), dice.uniform(0.27, 0.4)
    estate, cabin = dice.chance(0.45), dice.uniform(0.26, 0.38)
    scene.frustum(frame, (0, 0, ground + body), (length, width, body), (0.97, 0.93), paints.body, VEHICLE)
    half = length * (dice.uniform(0.62, 0.74) if estate else dice.uniform(0.5, 0.6))
    top = frame.at(-length * (0.24 if estate else 0.1), 0, ground + 2 * body + cabin)
    lean = 0.0 if estate else -0.1 * length
    taper = (0.75, 0.8) if estate else (0.62, 0.8)
    scene.frustum(top, (0, 0, 0), (half, width * 0.9, cabin), taper, paints.glass, VEHICLE, lean)
    scene.box(top, (lean, 0, cabin), (half * 0.62, width * 0.74, 0.03), paints.body, VEHICLE)
    _lights(stage, frame, paints, length, width * 0.72, ground + body * 1.25)
    if distance < DETAIL:
        pillar = half * 0.05
        stage.mirrored_boxes(top, (lean * 0.5, width * 0.83, 0), (pillar, 0.02, cabin), paints.body, VEHICLE)
        plate = stage.plain((0.85, 0.85, 0.8))
        for end in (length, -length):
            scene.box(frame, (end, 0, ground + body * 0.75), (0.03, 0.26, 0.06), plate, VEHICLE)
    _wheels(stage, frame, paints, length, width, dice.uniform(0.29, 0.37), distance)


def _lights(stage: Stage, frame: Frame, paints: Paints, length: float, across: float, height: float) -> None:
    for end, material in ((length * 0.985, paints.front_light), (-length * 0.985, paints.rear_light)):
        stage.mirrored_boxes(frame, (end, across, height), (0.05, 0.16, 0.08), material, VEHICLE)


def _wheels(
    stage: Stage, frame: Frame, paints: Paints, length: float, width: float, radius: float, distance: float
) -> None:
    for x in (-0.62 * length, 0.62 * length):
        for side in (-1, 1):
            y = side * (width - 0.08)
            stage.scene.cylinder(frame, (x, y, radius), radius, 0.11, paints.tyre, VEHICLE, axis="y")
            if distance < DETAIL:
                hub = (x, y + side * 0.012, radius)
                stage.scene.cylinder(frame, hub, radius * 0.55, 0.115, paints.hub, VEHICLE, axis="y")


def van(stage: Stage, frame: Frame, dark: bool, distance: float, bus: bool) -> None:
    """A van, a lorry or a bus: a box on wheels with windows, lights and sometimes an advertisement."""
    dice, scene, paints = stage.dice, stage.scene, _paints(stage, dark)
    if bus:
        length, width, height = dice.uniform(4.0, 5.5), 1.25, dice.uniform(1.25, 1.45)
    else:
        length, width, height = dice.uniform(2.3, 3.6), dice.uniform(0.95, 1.15), dice.uniform(0.85, 1.3)
    body = stage.paint(
        "plaster", dice.grey(0.3, 1.0, 0.05) if dice.chance(0.6) else dice.colour(0.7, 0.4, 0.9), gloss=0.25
    )
    middle = 0.35 + height
    scene.box(frame, (0, 0, middle), (length, width, height), body, VEHICLE)
    window = (length * (1.005 if bus else 0.3), width * 1.01, height * 0.32)
    scene.box(frame, (0, 0, 0.35 + height * 1.35), window, paints.glass, VEHICLE)
    scene.box(
        frame,
        (length * 0.9, 0, 0.35 + height * 1.3),
        (length * 0.11, width * 0.92, height * 0.4),
        paints.glass,
        VEHICLE,
    )
    _lights(stage, frame, paints, length * 1.015, width * 0.8, 0.8)
    if dice.chance(0.4):
        poster = stage.paint("painting", fit=True)
        scene.box(frame, (0, 0, middle - height * 0.3), (length * 0.6, width * 1.012, height * 0.4), poster, VEHICLE)
    _wheels(stage, frame, paints, length, width, dice.uniform(0.38, 0.5), distance)


def bicycle(stage: Stage, frame: Frame, rider: bool) -> None:
    """A bicycle or a motorcycle; a rider counts as human."""
    dice, scene = stage.dice, stage.scene
    motor = dice.chance(0.3)
    radius, tyre = (0.3, 0.05) if motor else (0.34, 0.025)
    dark = stage.plain((0.05, 0.05, 0.05))
    tubes = stage.plain(hsv(dice.uniform(), 0.7, dice.uniform(0.2, 0.9)), gloss=0.2)
    for x in (-0.55, 0.55):
        scene.cylinder(frame, (x, 0, radius), radius, tyre, dark, VEHICLE, axis="y")
    scene.box(frame, (0, 0, 0.62), (0.5, 0.1, 0.16) if motor else (0.5, 0.03, 0.05), tubes, VEHICLE)
    scene.box(frame, (0.42, 0, 0.95), (0.03, 0.28, 0.03), tubes, VEHICLE)
    scene.box(frame, (0.45, 0, 0.68), (0.03, 0.03, 0.3), tubes, VEHICLE)
    if rider:
        person(stage, frame.at(-0.12, 0, 0.42), 0.95, sitting=True)


def _clothes(stage: Stage) -> Colour:
    dice = stage.dice
    return (
        dice.grey(0.04, 0.75, 0.1)
        if dice.chance(0.55)
        else hsv(dice.uniform(), dice.uniform(0.3, 0.9), dice.uniform(0.2, 0.9))
    )


def person(stage: Stage, frame: Frame, size: float, sitting: bool = False) -> None:
    """A person of ``size`` × 1.75 m, walking, standing or sitting; an umbrella is void."""
    dice, scene = stage.dice, stage.scene
    skin = stage.plain(hsv(0.06, dice.uniform(0.3, 0.55), dice.uniform(0.25, 0.9)))
    trousers = stage.paint("cloth", _clothes(stage), scale=0.8)
    shirt = stage.paint(("cloth", "cloth", "cloth", "stripes"), _clothes(stage), scale=0.8)
    stride = 0.7 if sitting else dice.uniform(-0.45, 0.45)
    for side in (-1, 1):
        angle = stride if sitting else side * stride
        leg = frame.at(0, side * 0.09 * size, 0.86 * size).pitched(-angle)
        scene.cylinder(leg, (0, 0, -0.42 * size), 0.08 * size, 0.42 * size, trousers, HUMAN)
        arm = frame.at(0, side * 0.23 * size, 1.38 * size).pitched(-1.1 if sitting else 0.9 * angle)
        scene.cylinder(arm, (0, 0, -0.3 * size), 0.055 * size, 0.3 * size, shirt, HUMAN)
    scene.ellipsoid(frame, (0, 0, 1.15 * size), (0.15 * size, 0.23 * size, 0.36 * size), shirt, HUMAN)
    scene.ellipsoid(frame, (0.02 * size, 0, 1.62 * size), (0.11 * size, 0.09 * size, 0.13 * size), skin, HUMAN)
    hair = stage.paint("grain", dice.grey(0.02, 0.5, 0.2))
    scene.ellipsoid(frame, (-0.02 * size, 0, 1.66 * size), (0.115 * size, 0.1 * size, 0.115 * size), hair, HUMAN)
    if dice.chance(0.3):
        bag = stage.paint("cloth", _clothes(stage))
        scene.box(frame, (-0.22 * size, 0, 1.2 * size), (0.09, 0.15, 0.2), bag, HUMAN)
    if dice.chance(0.1) and not sitting:
        scene.ellipsoid(frame, (0, 0, 2.05 * size), (0.45, 0.45, 0.12), stage.paint("stripes", _clothes(stage)), VOID)


def heading(sideways: float) -> float:
    """Yaw of a vehicle at a lateral offset from the centre line: with traffic, which keeps to the right."""
    return math.pi if sideways > 0 else 0.0
