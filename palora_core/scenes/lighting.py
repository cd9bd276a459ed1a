"""Light: shadow maps, corners that less light reaches, and mirror directions."""

from __future__ import annotations

import numpy as np

from palora_core.scenes.raycast import INFINITY, SAMPLES, View, cast
from palora_core.scenes.solids import Solids
from palora_core.scenes.surface import Surface, dot

Array = np.ndarray
_SUN_MAP = (120, 240)
_SUN_REACH = np.array([[-2.0, -22.0, 0.0], [48.0, 22.0, 10.0]])  # metres around the camera that get sharp shadows
_LAMP_MAP = 112


def sun_shadow(solids: Solids, surface: Surface, sun: Array, skip: Array) -> Array:
    """Share of the sun that reaches each pixel [N], from a parallel depth map along its rays.

    Args:
        solids: what casts shadows.
        surface: what they fall on.
        sun: unit direction towards the sun [3].
        skip: solids that cast none, bool [n].
    """
    forward = -sun / np.linalg.norm(sun)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward], axis=1)
    corners = np.array([[x, y, z] for x in _SUN_REACH[:, 0] for y in _SUN_REACH[:, 1] for z in _SUN_REACH[:, 2]])
    flat = (corners[:, :, None] * axes).sum(1)
    low, high = flat[:, :2].min(0), flat[:, :2].max(0)
    height, width = _SUN_MAP
    columns = low[0] + (high[0] - low[0]) * (np.arange(width) + 0.5) / width
    rows = low[1] + (high[1] - low[1]) * (np.arange(height) + 0.5) / height
    start = (flat[:, 2].min() - 60.0) * forward
    view = View(start, axes, columns.astype(np.float32), rows.astype(np.float32), parallel=True)
    depth, _ = cast(solids, view, near=0.0, skip=skip)
    place = _turn(axes, surface.point + np.float32(0.04) * surface.normal - start.astype(np.float32)[:, None])
    return _lit(view, depth, place[0], place[1], place[2] - np.float32(0.12))


def lamp_shadow(solids: Solids, surface: Surface, lamp: Array) -> Array:
    """Share of a ceiling lamp's light that reaches each pixel [N], from a wide picture that looks straight down.

    Args:
        solids: what casts shadows.
        surface: what they fall on.
        lamp: its position [3].
    """
    axes = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
    view = View.pinhole(lamp, axes, 0.2 * _LAMP_MAP, _LAMP_MAP, _LAMP_MAP)
    depth, _ = cast(solids, view, near=0.12)
    place = _turn(axes, surface.point + np.float32(0.03) * surface.normal - lamp.astype(np.float32)[:, None])
    below = np.maximum(place[2], np.float32(1e-3))
    limit = np.where(place[2] > 0.12, place[2] * np.float32(0.98) - np.float32(0.05), 0)
    return _lit(view, depth, place[0] / below, place[1] / below, limit)


def _turn(axes: Array, vectors: Array) -> Array:
    """World vectors [3, N] in the coordinates of ``axes``."""
    columns = axes.astype(np.float32).T
    return np.stack([dot(column, vectors) for column in columns])


def _lit(view: View, depth: Array, x: Array, y: Array, distance: Array) -> Array:
    """Bilinear share of the four map cells around (x, y) that see at least ``distance``; lit outside the map."""
    padded = np.pad(depth, 1, constant_values=INFINITY)
    height, width = padded.shape
    steps = view.steps
    column = (x - view.columns[0]) / np.float32(steps[0]) + 1
    row = (y - view.rows[0]) / np.float32(steps[1]) + 1
    column, row = np.clip(column, 0, width - 1.001), np.clip(row, 0, height - 1.001)
    left, top = column.astype(np.int32), row.astype(np.int32)
    right_share, bottom_share = column - left.astype(np.float32), row - top.astype(np.float32)
    flat, cell = padded.reshape(-1), top * width + left
    upper = (flat[cell] > distance) * (1 - right_share) + (flat[cell + 1] > distance) * right_share
    cell += width
    lower = (flat[cell] > distance) * (1 - right_share) + (flat[cell + 1] > distance) * right_share
    return upper * (1 - bottom_share) + lower * bottom_share


def openness(depth: Array, radius: float) -> Array:
    """How much of the light around reaches each pixel [H, W]: less where neighbours stand out towards the camera.

    Worked out for every fourth row and column; pairs of opposite neighbours say how far behind their plane a pixel is.

    Args:
        depth: of a picture [H, W]; infinite for sky.
        radius: metres within which things shade each other.
    """
    coarse = depth[:: 2 * SAMPLES, :: 2 * SAMPLES]
    coarse = np.where(np.isfinite(coarse), coarse, np.float32(1e4))
    height, width = coarse.shape
    reach = 4
    padded = np.pad(coarse, reach, mode="edge")
    shade = np.zeros_like(coarse)
    for step in (1, 2, reach):
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            dy, dx = down * step, right * step
            first = padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
            second = padded[reach - dy : reach - dy + height, reach - dx : reach - dx + width]
            behind = (coarse - np.float32(0.5) * (first + second)) * np.float32(4 / radius)
            shade += np.clip(behind, 0, 1) * (np.abs(first - second) < 6 * radius)
    light = 1 - np.float32(0.6) * np.minimum(shade / 6, 1)
    light = blur(blur(np.repeat(np.repeat(light, 2, 0), 2, 1), 1.2), 1.2)
    light = np.repeat(np.repeat(light, SAMPLES, 0), SAMPLES, 1)
    return light[: depth.shape[0], : depth.shape[1]]


def mirrored(surface: Surface, pixels: Array) -> Array:
    """Unit direction in which a mirror would send the camera's ray, for some pixels of the surface [3, M]."""
    ray, normal = surface.ray[:, pixels], surface.normal[:, pixels]
    ray = ray / np.sqrt(dot(ray, ray))
    return ray - 2 * dot(ray, normal) * normal


def blur(image: Array, deviation: float) -> Array:
    """Gaussian over 3 × 3 neighbours of the last two axes, edges repeated."""
    side = np.float32(np.exp(-0.5 / deviation**2))
    middle, side = np.float32(1 / (1 + 2 * side)), np.float32(side / (1 + 2 * side))
    rows = np.empty_like(image)
    rows[..., 1:-1, :] = middle * image[..., 1:-1, :] + side * (image[..., :-2, :] + image[..., 2:, :])
    rows[..., 0, :] = (middle + side) * image[..., 0, :] + side * image[..., 1, :]
    rows[..., -1, :] = (middle + side) * image[..., -1, :] + side * image[..., -2, :]
    result = np.empty_like(rows)
    result[..., 1:-1] = middle * rows[..., 1:-1] + side * (rows[..., :-2] + rows[..., 2:])
    result[..., 0] = (middle + side) * rows[..., 0] + side * rows[..., 1]
    result[..., -1] = (middle + side) * rows[..., -1] + side * rows[..., -2]
    return result
