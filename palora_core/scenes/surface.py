"""What is seen in each pixel: position, normal, albedo, gloss and glow, worked out once, after visibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palora_core.scenes.raycast import View
from palora_core.scenes.solids import CYLINDER, ELLIPSOID, FRUSTUM, Solids
from palora_core.scenes.textures import SIDE, TextureBank

Array = np.ndarray


@dataclass
class Surface:
    """The N pixels that see a solid.

    Attributes:
        pixel: flat pixel numbers [N].
        solid: number of the solid [N].
        depth: along the optical axis, metres [N].
        ray: world direction per unit depth [3, N].
        point: world position [3, N].
        normal: unit, in the world, towards the camera [3, N].
        local: position in metres from the solid's centre along its axes [3, N].
        axis: of the solid along which the normal mostly points [N].
    """

    pixel: Array
    solid: Array
    depth: Array
    ray: Array
    point: Array
    normal: Array
    local: Array
    axis: Array

    def facing(self, axes: Array) -> Array:
        """The normals in the frame of a camera with these ``axes`` (right, down, forward as columns) [N, 3]."""
        return np.stack([dot(axis, self.normal) for axis in axes.astype(np.float32).T], axis=-1)


@dataclass
class Looks:
    """How those pixels look, before light: albedo [3, N]; gloss and glow [N]."""

    albedo: Array
    gloss: Array
    glow: Array


def resolve(solids: Solids, view: View, depth: Array, seen: Array) -> Surface:
    """Positions and normals of a picture from :func:`~palora_core.scenes.raycast.cast`."""
    pixel = np.flatnonzero(seen.reshape(-1) >= 0)
    solid, distance = seen.reshape(-1)[pixel].astype(np.intp), depth.reshape(-1)[pixel]
    ray = view.rays().reshape(3, -1)[:, pixel]
    point = ray * distance + view.position.astype(np.float32)[:, None]
    inverse = solids.inverse.astype(np.float32)
    offset = solids.center.astype(np.float32)
    shifted = [point[k] - offset[:, k][solid] for k in range(3)]
    rows = [[inverse[:, k, j][solid] for j in range(3)] for k in range(3)]
    unit = np.stack([row[0] * shifted[0] + row[1] * shifted[1] + row[2] * shifted[2] for row in rows])
    half = np.stack([solids.half[:, k][solid] for k in range(3)])
    outward = _gradient(solids, solid, unit, half)
    normal = np.stack([rows[0][j] * outward[0] + rows[1][j] * outward[1] + rows[2][j] * outward[2] for j in range(3)])
    length = np.sqrt(dot(normal, normal)) + np.float32(1e-12)
    normal *= np.where(dot(normal, ray) > 0, -1, 1) / length
    axis = np.argmax(np.abs(outward) / half, axis=0)
    return Surface(pixel, solid, distance, ray, point, normal.astype(np.float32), unit * half, axis)


def _gradient(solids: Solids, solid: Array, unit: Array, half: Array) -> Array:
    """Normal in unit coordinates, of any length [3, N]: of the face that the point lies on."""
    kind = solids.kind[solid]
    size, sign = np.abs(unit), np.sign(unit)
    taper = [solids.taper[:, k][solid] for k in range(2)]
    # How far outside each face the point lies, in metres; rounding aside, it is on the one where this is largest.
    side = [(size[k] - 1 + taper[k] * (1 + unit[2])) * half[k] for k in range(2)]
    cap = (size[2] - 1) * half[2]
    on_cap = cap >= np.maximum(*side)
    on_x = (side[0] >= side[1]) & ~on_cap
    on_y = ~on_x & ~on_cap
    flat = np.stack([sign[0] * on_x, sign[1] * on_y, taper[0] * on_x + taper[1] * on_y + sign[2] * on_cap])
    radial = (np.sqrt(unit[0] * unit[0] + unit[1] * unit[1]) - 1) * half[0]
    capped = (kind == CYLINDER) & (cap > radial)
    upright = np.where(capped, sign[2], np.where(kind == ELLIPSOID, unit[2], 0))
    curved = np.stack([unit[0] * ~capped, unit[1] * ~capped, upright])
    return np.where(kind <= FRUSTUM, flat, curved)


def looks(solids: Solids, surface: Surface, bank: TextureBank, focal: float) -> Looks:
    """Albedo, gloss and glow from the materials' textures, mapped along the axis that the normal is closest to.

    Args:
        solids: geometry and materials.
        surface: what is seen.
        bank: textures.
        focal: of the camera in pixels; sets how many texels a pixel covers.
    """
    material = solids.materials[solids.material].T.copy()  # per solid: one gather per property below
    solid, axis, local = surface.solid, surface.axis, surface.local
    half = [solids.half[:, k][solid] for k in range(3)]
    across, up = np.where(axis == 0, local[1], local[0]), np.where(axis == 2, local[1], local[2])
    half_across, half_up = np.where(axis == 0, half[1], half[0]), np.where(axis == 2, half[1], half[2])
    scale, fit = material[4][solid], material[9][solid] > 0
    u = np.where(fit, 0.5 + 0.499 * across / half_across, across * scale + material[5][solid])
    v = np.where(fit, 0.5 + 0.499 * up / half_up, (up + half[2]) * scale + material[6][solid])
    scale = np.where(fit, 0.5 / np.maximum(np.minimum(half_across, half_up), 1e-3), scale)
    facing = np.abs(dot(surface.normal, surface.ray)) / np.sqrt(dot(surface.ray, surface.ray))
    footprint = surface.depth * scale * np.float32(1.2 * SIDE / focal) / np.maximum(facing, 0.25)
    texture = material[0].astype(np.int32)[solid]
    texels = bank.sample(texture, u, v, footprint)
    albedo = texels[:3]
    for channel in range(3):
        albedo[channel] *= material[1 + channel][solid]
    return Looks(albedo, material[7][solid], material[8][solid] + material[10][solid] * texels[3])


def dot(a: Array, b: Array) -> Array:
    """Scalar product over the first axis."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
