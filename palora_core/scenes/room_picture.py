"""A room as a camera sees it: where the camera stands, the light, and what a depth sensor misses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from palora_core.scenes.catalog import WINDOW
from palora_core.scenes.dice import Dice
from palora_core.scenes.lens import Lens, picked
from palora_core.scenes.lighting import lamp_shadow, mirrored, openness
from palora_core.scenes.raycast import View, cast, orientation
from palora_core.scenes.rooms import Room
from palora_core.scenes.solids import Solids
from palora_core.scenes.surface import Looks, Surface, dot, looks, resolve
from palora_core.scenes.textures import leaf_mask

Array = np.ndarray
_NEAR = 0.1
_TRIAL = (18, 24)  # pixels of the small picture that a camera is judged by
_CLOSEST = 0.75  # metres in front of the lens that stay free


@dataclass(frozen=True)
class Shot:
    """A room and a camera: position [3], axes [3, 3], focal length in widths, and how good the view is."""

    room: Room
    solids: Solids
    position: Array
    axes: Array
    focal: float
    score: float


@dataclass(frozen=True)
class Lamp:
    """A light: place [3], strength per channel [3, 1], and whether what stands in its way casts a shadow."""

    place: Array
    strength: Array
    shadows: bool


def render_room(dice: Dice, height: int, width: int) -> dict[str, Array]:
    """A room: image, label, depth in metres and normals in the camera frame; see :func:`~palora_core.scenes.render`."""
    shot = _shoot(dice)
    room, solids, axes, focal = shot.room, shot.solids, shot.axes, shot.focal
    view = View.sampled(shot.position, axes, focal * width, height, width)
    depth, seen = _sealed(*cast(solids, view, _NEAR))
    surface = resolve(solids, view, depth, seen)
    appearance = looks(solids, surface, room.stage.bank, focal * width)
    light = _illuminate(dice, room, solids, surface, appearance, openness(depth, 0.18).reshape(-1))
    lens = Lens.draw(dice, key=0.5, cast=0.05, grain=0.022)
    image = lens.develop(light.reshape(3, *depth.shape), dice.pixels())
    label, gloss = picked(solids.label[seen]), picked(appearance.gloss.reshape(depth.shape))
    depth, normal = picked(depth), picked(surface.facing(axes).reshape(*seen.shape, 3))
    missing = _missing(dice, depth, label, gloss)
    depth[missing], normal[missing] = 0, 0
    return {"image": image, "label": label, "depth": depth, "normal": normal}


def _sealed(depth: Array, seen: Array) -> tuple[Array, Array]:
    """Rays that slipped through the seam of two walls (about one in a million) see what a neighbour sees."""
    for axis, step in ((1, 1), (1, -1), (0, 1), (0, -1)):
        gap = seen < 0
        if not gap.any():
            break
        depth = np.where(gap, np.roll(depth, step, axis), depth)
        seen = np.where(gap, np.roll(seen, step, axis), seen)
    return depth, seen


def _shoot(dice: Dice) -> Shot:
    """A room and a camera in it that sees several classes and has nothing right in front of its lens."""
    shots: list[Shot] = []
    for _ in range(8):
        room = Room(dice)
        solids = room.stage.scene.finish()
        for _ in range(8):
            position, axes = _stand(dice, room)
            focal = dice.uniform(0.72, 1.15)
            score = _judge(solids, View.pinhole(position, axes, focal * _TRIAL[1], *_TRIAL))
            shots.append(Shot(room, solids, position, axes, focal, score))
            if score >= 6:
                return shots[-1]
        best = max(shots, key=lambda shot: shot.score)
        if best.score >= 4:
            break
    return best


def _stand(dice: Dice, room: Room) -> tuple[Array, Array]:
    """A place near one end of the room and a direction into it, now and then down to something close by."""
    length, width, _ = room.size
    place = (dice.uniform(0.25, 0.4 * length), dice.uniform(0.2, 0.8) * width, dice.uniform(1.0, 1.75))
    far, high = ((0.42, 0.75), (0.0, 0.9)) if dice.chance(0.35) else ((0.6, 1.0), (0.15, 1.6))
    target = (length * dice.uniform(*far), width * dice.uniform(0.1, 0.9), dice.uniform(*high))
    x, y, z = (end - start for start, end in zip(place, target))
    return np.array(place), orientation(math.atan2(y, x), math.atan2(z, math.hypot(x, y)), dice.normal(0, 0.07))


def _judge(solids: Solids, view: View) -> float:
    """Number of classes in a small picture; 0 to 1 where something is too close, by how much, and -1 outside."""
    depth, seen = cast(solids, view, _NEAR)
    if seen.min() < 0:
        return -1.0
    closest = float(depth.min())
    if closest < _CLOSEST or np.percentile(depth, 30) < 1.1:
        return closest / 10
    return float(np.count_nonzero(np.bincount(solids.label[seen].reshape(-1), minlength=13)))


def _lamps(dice: Dice, room: Room, camera: Array) -> list[Lamp]:
    length, width, height = room.size
    warmth = np.array([[1.0], [dice.uniform(0.8, 1.0)], [dice.uniform(0.55, 1.0)]])
    place = np.array([dice.uniform(0.25, 0.75) * length, dice.uniform(0.25, 0.75) * width, height - 0.25])
    lamps = [Lamp(place, warmth * dice.uniform(1.2, 4.0), shadows=True)]
    if dice.chance(0.4):
        place = np.array([dice.uniform(0.1, 0.9) * length, dice.uniform(0.1, 0.9) * width, dice.uniform(1.2, 2.0)])
        lamps.append(Lamp(place, warmth * dice.uniform(0.5, 1.5), shadows=False))
    for window in room.windows:
        daylight = np.array([[0.8], [0.9], [1.1]]) * dice.uniform(0.3, 2.2)
        lamps.append(Lamp(np.array(window.point(0.3, 0, 0)), daylight, shadows=False))
    if dice.chance(0.3):  # the camera's own flash
        lamps.append(Lamp(camera + np.array([0, 0, 0.1]), np.full((3, 1), dice.uniform(0.5, 2.5)), shadows=False))
    return lamps


def _illuminate(
    dice: Dice, room: Room, solids: Solids, surface: Surface, appearance: Looks, open_light: Array
) -> Array:
    """Light that reaches the camera [3, N]."""
    tint = np.array([[1 + 0.1 * dice.normal()] for _ in range(3)], np.float32)
    ambient = np.float32(dice.uniform(0.18, 0.5)) * (0.75 + 0.25 * surface.normal[2]) * open_light
    arriving = ambient * tint + appearance.glow * np.float32(dice.uniform(0.8, 1.5))
    glossy = np.flatnonzero(appearance.gloss > 0)
    mirror = mirrored(surface, glossy)
    shine = np.zeros((3, len(glossy)), np.float32)
    camera = surface.point[:, 0] - surface.ray[:, 0] * surface.depth[0]
    for lamp in _lamps(dice, room, camera):
        place, strength = lamp.place.astype(np.float32)[:, None], lamp.strength.astype(np.float32)
        towards = place - surface.point
        squared = dot(towards, towards)
        towards /= np.sqrt(squared)
        visible = lamp_shadow(solids, surface, lamp.place) if lamp.shadows else open_light
        falling = np.maximum(dot(surface.normal, towards), 0) * visible / (1 + np.float32(0.6) * squared)
        arriving += falling * strength
        highlight = np.maximum(dot(mirror, towards[:, glossy]), 0) ** 40
        shine += strength * (np.float32(0.5) * appearance.gloss[glossy] * visible[glossy] * highlight)
    arriving *= appearance.albedo
    arriving[:, glossy] += shine
    return arriving


def _missing(dice: Dice, depth: Array, label: Array, gloss: Array) -> Array:
    """Where a depth sensor has no answer: at depth edges, and in blots on glossy things and bright windows [H, W]."""
    step = np.zeros_like(depth)
    step[:, 1:] = np.abs(np.diff(depth, axis=1))
    step[1:] = np.maximum(step[1:], np.abs(np.diff(depth, axis=0)))
    mask = leaf_mask()
    rows = (np.arange(depth.shape[0]) + dice.integer(0, len(mask))) % len(mask)
    columns = (np.arange(depth.shape[1]) + dice.integer(0, len(mask))) % len(mask)
    blots = mask[rows][:, columns]
    dull = np.where(label == WINDOW, np.float32(0.5), np.where(gloss > 0.35, np.float32(0.6), np.float32(2)))
    return (step > 0.25) | (blots > dull)
