"""The ground of a street: road, markings, kerbs, pavement and verges, painted where it is seen."""

from __future__ import annotations

import numpy as np

from palora_core.scenes.catalog import FLAT, NATURE
from palora_core.scenes.dice import Colour, hsv
from palora_core.scenes.roadside import leaf_colour
from palora_core.scenes.streets import Street
from palora_core.scenes.surface import Looks, Surface
from palora_core.scenes.textures import SIDE

Array = np.ndarray


def paint_ground(street: Street, surface: Surface, appearance: Looks, focal: float) -> tuple[Array, Array]:
    """Give the ground's pixels their albedo and gloss, in place.

    Args:
        street: what the road is like.
        surface: all visible pixels.
        appearance: of all visible pixels; changed.
        focal: of the camera in pixels.

    Returns:
        Numbers of the ground's pixels in ``surface`` [M] and their classes int8 [M].
    """
    dice, weather = street.stage.dice, street.weather
    here = np.flatnonzero(surface.solid == street.ground)
    x, y = surface.point[0][here], surface.point[1][here]
    slope = np.float32(street.bend) * x
    sideways = (y - np.float32(0.5) * slope * x) / np.sqrt(1 + slope * slope)
    away = np.abs(sideways)
    side_road = np.abs(x - np.float32(street.crossing)) < street.crossing_half
    road = (away < street.half) | side_road
    footprint = surface.depth[here] * np.float32(2.5 * SIDE / focal)
    colours = np.empty((3, len(here)), np.float32)
    verge = (away > street.half + street.pavement + 0.5) & ~side_road & dice.chance(0.6)
    for region, (texture, scale, colour) in zip(
        (road, ~road & ~verge, verge), (_road(street), _pavement(street), _verge(street)), strict=True
    ):
        part = np.flatnonzero(region)
        number = street.stage.bank.pick(dice, texture)
        u, v = x[part] * np.float32(scale), sideways[part] * np.float32(scale)
        texels = street.stage.bank.sample(number, u, v, footprint[part] * np.float32(scale))[:3]
        colours[:, part] = texels * np.array(colour, np.float32)[:, None]
    _mark(street, colours, x, sideways, road & ~(side_road & (away > street.half)))
    kerb = (np.abs(away - street.half) < 0.13) & ~side_road
    colours[:, kerb] = np.array(dice.grey(0.3, 0.9, 0.03), np.float32)[:, None]
    appearance.albedo[:, here] = colours
    appearance.gloss[here] = np.where(road, np.float32(weather.wet), np.float32(0))
    return here, np.where(verge, NATURE, FLAT).astype(np.int8)


Region = tuple[str, float, Colour]  # group of textures, repetitions per metre, colour


def _road(street: Street) -> Region:
    dice = street.stage.dice
    if street.weather.strange and dice.chance(0.5):
        return dice.pick(("asphalt", "paving", "plaster")), dice.uniform(0.08, 0.3), dice.colour(0.4, 0.2, 0.9)
    return "asphalt", 0.13, dice.grey(0.25, 0.62, 0.03)


def _pavement(street: Street) -> Region:
    dice = street.stage.dice
    if street.weather.strange and dice.chance(0.5):
        texture = dice.pick(("paving", "asphalt", "brick", "plaster"))
        return texture, dice.uniform(0.1, 0.5), dice.colour(0.6, 0.3, 1.0)
    return "paving", dice.uniform(0.12, 0.35), dice.grey(0.4, 0.95, 0.06)


def _verge(street: Street) -> Region:
    dice = street.stage.dice
    if street.weather.strange:
        return "grass", dice.uniform(0.2, 0.4), leaf_colour(street.stage, strange=True)
    colour = hsv(dice.uniform(0.14, 0.33), dice.uniform(0.1, 0.6), dice.uniform(0.6, 1.2))
    return "grass", 0.3, colour


def _mark(street: Street, colours: Array, x: Array, sideways: Array, road: Array) -> None:
    """Centre line, lane edges and a zebra crossing, worn; ``colours`` [3, M] is changed."""
    dice = street.stage.dice
    away = np.abs(sideways)
    marked = np.zeros(len(x), bool)
    if dice.chance(0.8):
        dash, share = np.float32(dice.uniform(4, 9)), dice.uniform(0.35, 1.0)
        marked |= (away < 0.08) & (x / dash % 1 < share)
    if dice.chance(0.4):
        marked |= np.abs(away - np.float32(street.half - 2.3)) < 0.07
    if dice.chance(0.7):
        zebra = np.abs(x - np.float32(street.crossing - street.crossing_half - 2)) < 1.4
        marked |= zebra & (sideways * 2 % 2 < 1) & (away < street.half)
    marked = np.flatnonzero(marked & road)
    number = street.stage.bank.pick(dice, "asphalt")
    u, v = x[marked] * np.float32(0.5), sideways[marked] * np.float32(0.5)
    wear = street.stage.bank.sample(number, u, v, np.ones_like(u))[0]
    colours[:, marked[wear > 0.55]] = np.float32(dice.uniform(0.75, 0.95))
