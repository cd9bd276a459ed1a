"""Surface normals from a depth map: the plane of each pixel's surroundings, by least squares."""

from __future__ import annotations

import numpy as np

RADIUS = 4  # pixels; the Kinect's noise needs 9 × 9 of them
ENOUGH = 12  # known pixels of the window


def normals_from_depth(
    depth: np.ndarray, intrinsics: tuple[float, float, float, float], radius: int = RADIUS
) -> np.ndarray:
    """Unit normals, towards the camera, in its frame (x right, y down, z forward).

    On a plane n·X = d the inverse depth is linear in the ray (x, y, 1): 1/z = (n/d)·(x, y, 1). So a linear fit to 1/z
    in a window gives the normal's direction in closed form, with sums over windows only.

    Args:
        depth: metres [H, W], 0 where unknown.
        intrinsics: focal lengths and principal point (fx, fy, cx, cy) in pixels.
        radius: of the square window.

    Returns:
        float32 [H, W, 3]; 0 where depth is unknown or too little around it is known.
    """
    height, width = depth.shape
    fx, fy, cx, cy = intrinsics
    known = (depth > 0).astype(np.float64)
    x = np.broadcast_to((np.arange(width) - cx) / fx, depth.shape)
    y = np.broadcast_to(((np.arange(height) - cy) / fy)[:, None], depth.shape)
    inverse = known / np.where(depth > 0, depth, 1)
    rays = (x, y, np.ones_like(inverse))
    sums = {(i, j): _window(known * rays[i] * rays[j], radius) for i in range(3) for j in range(i, 3)}
    system = np.stack([np.stack([sums[min(i, j), max(i, j)] for j in range(3)], -1) for i in range(3)], -2)
    right = np.stack([_window(inverse * ray, radius) for ray in rays], -1)
    good = (sums[2, 2] > ENOUGH - 0.5) & (known > 0)
    # Known pixels on one line leave the plane free; their determinant is rounding noise.
    scale = sums[2, 2] ** 3 / (fx * fy) ** 2
    good &= np.abs(np.linalg.det(system)) > 1e-3 * scale
    normals = np.zeros((height, width, 3), np.float32)
    found = -np.linalg.solve(system[good], right[good][..., None])[..., 0]
    length = np.linalg.norm(found, axis=-1, keepdims=True)
    normals[good] = np.where(length > 0, found / np.maximum(length, 1e-12), 0)
    return normals


def _window(values: np.ndarray, radius: int) -> np.ndarray:
    """Sum over the square window around each pixel, cut at the border."""
    for axis in (0, 1):
        size = values.shape[axis]
        total = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)
        last = np.minimum(np.arange(size) + radius + 1, size)
        first = np.maximum(np.arange(size) - radius, 0)
        values = total.take(last, axis) - total.take(first, axis)
    return values
