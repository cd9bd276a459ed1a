"""A street as the camera of a car sees it: light, weather, labels and inverse depth."""

from __future__ import annotations

import numpy as np

from palora_core.scenes.catalog import SKY, VOID
from palora_core.scenes.dice import Dice
from palora_core.scenes.lens import Lens, picked
from palora_core.scenes.lighting import mirrored, openness, sun_shadow
from palora_core.scenes.raycast import View, cast, orientation
from palora_core.scenes.solids import Solids
from palora_core.scenes.street_ground import paint_ground
from palora_core.scenes.streets import Street
from palora_core.scenes.surface import Looks, Surface, dot, looks, resolve
from palora_core.scenes.textures import leaf_mask
from palora_core.scenes.weather import Weather

Array = np.ndarray
_NEAR = 0.3
_FARTHEST = 250.0
_LAMP_COLOUR = np.array([[1.0], [0.75], [0.42]], np.float32)
_HEADLIGHT_COLOUR = np.array([[1.0], [0.95], [0.82]], np.float32)
_MOST_LAMPS = 5


def render_street(dice: Dice, height: int, width: int) -> dict[str, Array]:
    """A street: image, label, inverse depth and normals in the camera frame; see :func:`~palora_core.scenes.render`."""
    street = Street(dice)
    solids = street.stage.scene.finish()
    # Where the horizon lies, how high the camera is and how wide it sees all vary: a row of the picture does not tell
    # the distance of the ground in it, the geometry of the whole scene has to.
    focal = dice.uniform(0.75, 1.3) * width
    axes = orientation(dice.normal(0, 0.08), dice.normal(-0.01, 0.05), dice.normal(0, 0.02))
    view = View.sampled(np.array([0.0, street.lane, dice.uniform(1.1, 2.6)]), axes, focal, height, width)
    depth, seen = cast(solids, view, _NEAR)
    surface = resolve(solids, view, depth, seen)
    np.minimum(surface.depth, np.float32(_FARTHEST), out=surface.depth)
    appearance = looks(solids, surface, street.stage.bank, focal)
    label = np.full(depth.size, SKY, np.int8)
    label[surface.pixel] = solids.label[surface.solid]
    ground, classes = paint_ground(street, surface, appearance, focal)
    label[surface.pixel[ground]] = classes

    light = np.empty((3, depth.size), np.float32)
    sky = np.flatnonzero(seen.reshape(-1) < 0)
    rays = view.rays().reshape(3, -1)[:, sky]
    light[:, sky] = street.weather.sky(rays / np.sqrt(dot(rays, rays)), street.stage.bank)
    open_light = openness(depth, 0.6).reshape(-1)[surface.pixel]
    lit = _illuminate(street, solids, surface, appearance, open_light)
    light[:, surface.pixel] = street.weather.through_air(lit, surface.depth)

    inverse = np.zeros(depth.size, np.float32)
    inverse[surface.pixel] = 1 / np.maximum(surface.depth, 1)
    gloss = np.zeros(depth.size, np.float32)
    gloss[surface.pixel[surface.solid != street.ground]] = appearance.gloss[surface.solid != street.ground]
    planes = (picked(array.reshape(depth.shape)) for array in (label, inverse, gloss))
    scene = _photograph(dice, street.weather, light.reshape(3, *depth.shape), *planes)
    normal = np.zeros((depth.size, 3), np.float32)
    normal[surface.pixel] = surface.facing(axes)
    known = scene["depth"][..., None] > 0
    return scene | {"normal": np.where(known, picked(normal.reshape(*depth.shape, 3)), np.float32(0))}


def _illuminate(street: Street, solids: Solids, surface: Surface, appearance: Looks, open_light: Array) -> Array:
    """Light that leaves the surfaces towards the camera [3, N]."""
    weather = street.weather
    sun = weather.sun.astype(np.float32)
    facing = np.maximum(dot(sun, surface.normal), 0)
    sunny = float(weather.sunlight.max()) > 0.3
    if sunny:
        still = np.zeros(len(solids.kind), bool)
        still[street.ground] = True
        facing *= sun_shadow(solids, surface, weather.sun, still)
    arriving = (np.float32(0.62) + np.float32(0.38) * surface.normal[2]) * open_light * weather.ambient
    arriving += facing * weather.sunlight
    if weather.dark:
        arriving += _lamplight(street, surface)
    arriving += appearance.glow
    arriving *= appearance.albedo
    glossy = np.flatnonzero(appearance.gloss > 0.05)
    arriving[:, glossy] += _reflection(street, surface, appearance, glossy, sunny)
    return arriving


def _lamplight(street: Street, surface: Surface) -> Array:
    """Light of the nearest street lamps and of the car's own headlights [3, N]."""
    arriving = np.zeros((3, len(surface.pixel)), np.float32)
    nearest = sorted(street.lamps, key=lambda lamp: abs(lamp.origin[0] - 8))[:_MOST_LAMPS]
    strength = np.float32(street.stage.dice.uniform(6, 16))
    for lamp in nearest:
        towards = np.array(lamp.origin, np.float32)[:, None] - surface.point
        squared = dot(towards, towards) + 1
        falling = np.maximum(dot(towards, surface.normal) + np.float32(0.1), 0) / (squared * np.sqrt(squared))
        arriving += _LAMP_COLOUR * (strength * falling)
    ray, depth = surface.ray, surface.depth
    ahead = np.exp(-6 * (ray[1] * ray[1] + 4 * ray[2] * ray[2])) / (1 + (depth / 14) ** 2)
    facing = np.maximum(-dot(ray, surface.normal), np.float32(0.05))
    arriving += _HEADLIGHT_COLOUR * (np.float32(street.stage.dice.uniform(0.2, 1.2)) * ahead * facing)
    return arriving


def _reflection(street: Street, surface: Surface, appearance: Looks, glossy: Array, sunny: bool) -> Array:
    """Sky and sun in mirrors [3, M]; stronger at grazing angles."""
    weather, gloss = street.weather, appearance.gloss[glossy]
    mirror = mirrored(surface, glossy)
    incidence = np.clip(dot(mirror, surface.normal[:, glossy]), 0, 1)
    share = gloss * (np.float32(0.12) + np.float32(0.88) * (1 - incidence) ** 4)
    sky = np.where(mirror[2] > 0.02, weather.sky(mirror, street.stage.bank), weather.horizon * np.float32(0.25))
    result = sky * share
    if sunny:
        highlight = np.maximum(dot(weather.sun.astype(np.float32), mirror), 0) ** 48
        result += weather.sunlight * (gloss * highlight)
    return result


def _photograph(
    dice: Dice, weather: Weather, light: Array, label: Array, inverse: Array, gloss: Array
) -> dict[str, Array]:
    """Bonnet, lens and the gaps of a stereo camera's depth."""
    valid = inverse > 0
    if dice.chance(0.4):
        hidden = picked(_bonnet(dice, weather, light))
        label[hidden] = VOID
        valid &= ~hidden
    image = Lens.draw(dice, key=weather.key, cast=0.07, grain=0.025).develop(light, dice.pixels())
    # The left camera sees what the right one does not: a strip on the left of whatever is nearer.
    strip = max(1, label.shape[1] // 80)
    valid[:, :-strip] &= inverse[:, strip:] - inverse[:, :-strip] < 0.012
    mask = leaf_mask()
    rows = (np.arange(label.shape[0]) + dice.integer(0, len(mask))) % len(mask)
    columns = (np.arange(label.shape[1]) + dice.integer(0, len(mask))) % len(mask)
    valid &= ~((gloss > 0.45) & (mask[rows][:, columns] > 0.58))
    return {"image": image, "label": label, "depth": np.where(valid, inverse, np.float32(0))}


def _bonnet(dice: Dice, weather: Weather, light: Array) -> Array:
    """The camera's own car at the lower edge: drawn into ``light``; the pixels it hides [H, W]."""
    height, width = light.shape[1:]
    down = (np.arange(height)[:, None] - height * dice.uniform(1.02, 1.1)) / (height * 0.16)
    right = (np.arange(width) - width / 2) / (width * 0.42)
    hidden = down**2 + right**2 < 1
    shine = np.float32(0.5) + np.float32(0.5) * np.abs(np.sin(np.nonzero(hidden)[1] * (9 / width))).astype(np.float32)
    paint = np.array(dice.grey(0.03, 0.5, 0.02), np.float32)[:, None] * weather.horizon
    light[:, hidden] = paint * shine + np.float32(0.15) * weather.horizon
    return hidden
