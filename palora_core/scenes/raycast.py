"""Which solid each pixel sees and how far away it is.

Every solid is intersected only where its own bounding rectangle lies on the picture, in the solid's unit coordinates.
Large solids come first, front to back, one at a time, and skip what is already covered; all the small ones (wheels,
legs, arms: most of a scene) follow as one list of (solid, pixel) pairs per kind, so that no Python runs per solid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from palora_core.scenes.solids import BOX, CYLINDER, ELLIPSOID, FRUSTUM, Solids
from palora_core.scenes.textures import leaf_mask

Array = np.ndarray
Planes = list[Any]  # x, y, z as scalars or arrays
INFINITY = np.float32(np.inf)
SAMPLES = 2  # rays per pixel and axis: light is averaged over them, labels and depths belong to one of them
_TINY = np.float32(1e-12)  # keeps directions off zero, so that no 0 · ∞ appears
_LARGE = 1200  # pixels from which one solid is worth a call of its own
_LEAVES_PER_METRE = 40
_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)])


@dataclass(frozen=True)
class View:
    """The rays of a picture: from one point (a pinhole) or parallel (the sun's).

    Distances along rays are measured along the forward axis, so they are depths.

    Attributes:
        position: of the pinhole, or the origin of the parallel picture [3].
        axes: columns right, down, forward in the world [3, 3].
        columns: image-plane coordinate of each column's centre [W]; in metres where rays are parallel.
        rows: the same for rows [H].
        parallel: whether all rays point forward.
    """

    position: Array
    axes: Array
    columns: Array
    rows: Array
    parallel: bool = False

    @classmethod
    def pinhole(cls, position: Array, axes: Array, focal: float, height: int, width: int) -> View:
        """A picture of the given size with the principal point in its centre and ``focal`` in pixels."""
        columns = (np.arange(width) + 0.5 - width / 2) / focal
        rows = (np.arange(height) + 0.5 - height / 2) / focal
        return cls(np.asarray(position, np.float64), axes, columns.astype(np.float32), rows.astype(np.float32))

    @classmethod
    def sampled(cls, position: Array, axes: Array, focal: float, height: int, width: int) -> View:
        """:meth:`pinhole` with ``SAMPLES`` rays per pixel and axis."""
        return cls.pinhole(position, axes, focal * SAMPLES, height * SAMPLES, width * SAMPLES)

    @property
    def steps(self) -> tuple[float, float]:
        """Distance between two columns and between two rows."""
        return float(self.columns[1] - self.columns[0]), float(self.rows[1] - self.rows[0])

    def rays(self) -> Array:
        """World directions with unit forward component [3, H, W]; of a pinhole."""
        axes = self.axes.astype(np.float32)
        along = axes[:, 1, None] * self.rows + axes[:, 2, None]
        return axes[:, 0, None, None] * self.columns + along[:, :, None]


def orientation(yaw: float, pitch: float, roll: float) -> Array:
    """Camera axes (right, down, forward as columns) of a camera that looks along x, turned left, up and clockwise."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    forward = np.array([cy * cp, sy * cp, sp])
    right = np.array([sy, -cy, 0.0])
    down = np.cross(forward, right)
    return np.stack([cr * right + sr * down, cr * down - sr * right, forward], axis=1)


def cast(solids: Solids, view: View, near: float, skip: Array | None = None) -> tuple[Array, Array]:
    """Depth [H, W] (infinity where nothing is) and number of the solid seen int32 [H, W] (-1 for none).

    Args:
        solids: what there is.
        view: rays.
        near: depths below this are not seen.
        skip: solids to leave out, bool [n].
    """
    depth = np.full((len(view.rows), len(view.columns)), INFINITY)
    seen = np.full(depth.shape, -1, np.int32)
    rays = _LocalRays(solids, view)
    rectangles, nearest = _rectangles(solids, view, near)
    areas = np.maximum(rectangles[:, 1] - rectangles[:, 0], 0) * np.maximum(rectangles[:, 3] - rectangles[:, 2], 0)
    if skip is not None:
        areas = np.where(skip, 0, areas)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for number in np.argsort(nearest, kind="stable"):
            if areas[number] >= _LARGE:
                _cast_large(rays, int(number), rectangles[number], nearest[number], depth, seen)
        small = np.flatnonzero((areas > 0) & (areas < _LARGE))
        if len(small):
            _cast_small(rays, small, rectangles[small], nearest[small], depth, seen)
    return depth, seen


class _LocalRays:
    """Rays of a view in the unit coordinates of solids: start + t · direction, both affine in the picture."""

    def __init__(self, solids: Solids, view: View) -> None:
        self.solids, self.view = solids, view
        turned = (solids.inverse[:, :, :, None] * view.axes).sum(2)
        start = (solids.inverse * (view.position - solids.center)[:, None, :]).sum(2)
        self._turned = np.ascontiguousarray(turned.transpose(1, 2, 0), np.float32)
        self._start = np.ascontiguousarray(start.T, np.float32)

    def of(self, numbers: Any, x: Array, y: Array) -> tuple[Planes, Planes]:
        """Start and direction for one solid and a grid of pixels, or for pairs of a solid and a pixel."""
        m, o = self._turned, self._start
        if self.view.parallel:
            start = [m[k, 0][numbers] * x + (m[k, 1][numbers] * y + o[k][numbers]) for k in range(3)]
            return start, [m[k, 2][numbers] + _TINY for k in range(3)]
        direction = [m[k, 0][numbers] * x + (m[k, 1][numbers] * y + (m[k, 2][numbers] + _TINY)) for k in range(3)]
        return [o[k][numbers] for k in range(3)], direction

    def hits(self, kind: int, numbers: Any, x: Array, y: Array, limit: Array) -> Array:
        """Depth of the entry into each solid; infinity where it is missed or not nearer than ``limit``."""
        start, direction = self.of(numbers, x, y)
        near, far = _INTERSECT[kind](start, direction, self.solids.taper[numbers])
        found = np.where((near < far) & (near > np.float32(1e-3)) & (near < limit), near, INFINITY)
        if np.any(self.solids.hole[numbers] > 0):
            self._cut(kind, numbers, start, direction, found, far, limit)
        return found

    def _cut(self, kind: int, numbers: Any, start: Planes, ray: Planes, found: Array, far: Array, limit: Array) -> None:
        """Where the surface has a hole, look on to the far side of the solid; where that has one too, through it."""
        holes = np.broadcast_to(self.solids.hole[numbers], found.shape)
        places = np.nonzero((found < INFINITY) & (holes > 0))
        number = np.broadcast_to(numbers, found.shape)[places]
        half, hole = self.solids.half[number].T, holes[places]
        origin, slope = ([np.broadcast_to(axis, found.shape)[places] for axis in planes] for planes in (start, ray))

        def solid_at(distance: Array) -> Array:
            local = [(o + distance * d) * extent for o, d, extent in zip(origin, slope, half)]
            return _is_solid(kind, local, half[2], hole, number)

        enter, leave = found[places], far[places] - np.float32(1e-3)
        behind = np.where(solid_at(leave) & (leave < limit[places]), leave, INFINITY)
        found[places] = np.where(solid_at(enter), enter, behind)


def _is_solid(kind: int, local: Planes, height: Array, hole: Array, number: Array) -> Array:
    """Whether material is left at points given in metres from the centre of a solid of half height ``height``."""
    if kind == BOX:  # a fence: uprights between two rails
        return ((local[0] + local[1]) * 7 % 1 < 0.3) | (np.abs(local[2]) > height * np.float32(0.8))
    mask = leaf_mask()
    x, y, z = (np.floor(axis * _LEAVES_PER_METRE).astype(np.int32) for axis in local)
    side = len(mask)
    return mask[(x + 3 * y + 37 * number) % side, (2 * z + y + 11 * number) % side] > hole


def _box(start: Planes, ray: Planes, taper: Array) -> tuple[Array, Array]:
    near: Any = -INFINITY
    far: Any = INFINITY
    for o, d in zip(start, ray):
        inverse = 1 / d
        centre, reach = -o * inverse, np.abs(inverse)
        near, far = np.maximum(near, centre - reach), np.minimum(far, centre + reach)
    return near, far


def _frustum(start: Planes, ray: Planes, taper: Array) -> tuple[Array, Array]:
    near, far = _box(start[2:], ray[2:], taper)
    for axis in (0, 1):
        slope = taper[..., axis]
        width = 1 - slope - slope * start[2]
        for side in (1, -1):
            speed = side * ray[axis] + slope * ray[2]
            time = (width - side * start[axis]) / speed
            near = np.maximum(near, np.where(speed < 0, time, -INFINITY))
            far = np.minimum(far, np.where(speed > 0, time, INFINITY))
    return near, far


def _ellipsoid(start: Planes, ray: Planes, taper: Array) -> tuple[Array, Array]:
    a = ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2]
    b = start[0] * ray[0] + start[1] * ray[1] + start[2] * ray[2]
    c = start[0] * start[0] + start[1] * start[1] + start[2] * start[2] - 1
    return _roots(a, b, c)


def _cylinder(start: Planes, ray: Planes, taper: Array) -> tuple[Array, Array]:
    a = ray[0] * ray[0] + ray[1] * ray[1]
    b = start[0] * ray[0] + start[1] * ray[1]
    c = start[0] * start[0] + start[1] * start[1] - 1
    near, far = _roots(a, b, c)
    enter, leave = _box(start[2:], ray[2:], taper)
    return np.maximum(near, enter), np.minimum(far, leave)


def _roots(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Roots of a·t² + 2·b·t + c; NaN, which no comparison passes, where there are none."""
    root = np.sqrt(b * b - a * c)
    return (-b - root) / a, (root - b) / a


_INTERSECT = {BOX: _box, FRUSTUM: _frustum, ELLIPSOID: _ellipsoid, CYLINDER: _cylinder}


def _rectangles(solids: Solids, view: View, near: float) -> tuple[Array, Array]:
    """Pixels (row from, to, column from, to) [n, 4] whose centres a solid may cover, and its nearest depth [n]."""
    corners = ((solids.corners - view.position)[..., None] * view.axes).sum(2)
    depth = corners[..., 2]
    nearest, visible = depth.min(1), depth.max(1) > near
    if view.parallel:
        low, high = corners[..., :2].min(1), corners[..., :2].max(1)
    else:
        flat = corners[..., :2] / np.maximum(depth, near)[..., None]
        low, high = flat.min(1), flat.max(1)
        crossing = np.flatnonzero((nearest < near) & visible)
        if len(crossing):
            low[crossing], high[crossing] = _clipped_extent(corners[crossing], near)
    edges = []
    for axis, centres, step in ((1, view.rows, view.steps[1]), (0, view.columns, view.steps[0])):
        first = np.ceil((low[:, axis] - centres[0]) / step - 1e-3)
        last = np.floor((high[:, axis] - centres[0]) / step + 1e-3) + 1
        edges += [np.clip(first, 0, len(centres)), np.clip(np.where(visible, last, 0), 0, len(centres))]
    return np.stack(edges, axis=1).astype(np.int64), nearest


def _clipped_extent(corners: Array, near: float) -> tuple[Array, Array]:
    """Lowest and highest image-plane coordinates [m, 2] of boxes [m, 8, 3] that reach behind the near plane."""
    first, second = corners[:, _EDGES[:, 0]], corners[:, _EDGES[:, 1]]
    rise = second[..., 2] - first[..., 2]
    share = (near - first[..., 2]) / np.where(rise == 0, 1e-9, rise)
    cut = first + share[..., None] * (second - first)
    points = np.concatenate([corners[..., :2] / np.maximum(corners[..., 2:], near), cut[..., :2] / near], axis=1)
    real = np.concatenate([corners[..., 2] >= near, (share >= 0) & (share <= 1)], axis=1)[..., None]
    return np.where(real, points, np.inf).min(1), np.where(real, points, -np.inf).max(1)


def _cast_large(rays: _LocalRays, number: int, rectangle: Array, nearest: float, depth: Array, seen: Array) -> None:
    top, bottom, left, right = rectangle
    window = depth[top:bottom, left:right]
    open_rows = np.flatnonzero(window.max(1) > nearest)
    if not len(open_rows):
        return
    top, bottom = top + open_rows[0], top + open_rows[-1] + 1
    window = depth[top:bottom, left:right]
    x, y = rays.view.columns[None, left:right], rays.view.rows[top:bottom, None]
    found = rays.hits(int(rays.solids.kind[number]), number, x, y, window)
    hit = found < window
    np.copyto(window, found, where=hit)
    seen[top:bottom, left:right][hit] = number


def _cast_small(rays: _LocalRays, small: Array, rectangles: Array, nearest: Array, depth: Array, seen: Array) -> None:
    width = depth.shape[1]
    flat_depth, flat_seen = depth.reshape(-1), seen.reshape(-1)
    pixels, numbers, depths = [], [], []
    for kind, chosen, rows, columns in _pairs(rays.solids.kind[small], rectangles):
        pixel = rows * width + columns
        covered = flat_depth[pixel]
        keep = np.flatnonzero(covered > nearest.astype(np.float32)[chosen])
        number, pixel = small[chosen[keep]], pixel[keep]
        x, y = rays.view.columns[columns[keep]], rays.view.rows[rows[keep]]
        found = rays.hits(kind, number, x, y, covered[keep])
        hit = np.flatnonzero(found < INFINITY)
        pixels.append(pixel[hit])
        numbers.append(number[hit])
        depths.append(found[hit])
    pixel, number, found = np.concatenate(pixels), np.concatenate(numbers), np.concatenate(depths)
    # Of several values for one pixel the last assigned stays: farthest first, nearest last.
    order = np.argsort(-found, kind="stable")
    flat_depth[pixel[order]] = found[order]
    flat_seen[pixel[order]] = number[order]


def _pairs(kinds: Array, rectangles: Array) -> Iterator[tuple[int, Array, Array, Array]]:
    """Per kind: row of ``rectangles``, pixel row and pixel column of every pixel of every rectangle."""
    for kind in _INTERSECT:
        members = np.flatnonzero(kinds == kind)
        if not len(members):
            continue
        top, bottom, left, right = rectangles[members].T
        widths = right - left
        areas = widths * (bottom - top)
        chosen = np.repeat(np.arange(len(members)), areas)
        within = np.arange(len(chosen)) - np.repeat(np.cumsum(areas) - areas, areas)
        row = within // widths[chosen]
        yield kind, members[chosen], top[chosen] + row, left[chosen] + within - row * widths[chosen]
