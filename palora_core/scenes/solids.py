"""Convex solids in a world with x forward, y left, z up (metres), and the local frames they are built in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from palora_core.scenes.dice import Colour

Triple = tuple[float, float, float]
BOX, FRUSTUM, ELLIPSOID, CYLINDER = range(4)
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
# Columns of a frame's axes such that the last one, along which cylinders extend, is the axis of that name.
_CYLINDER_AXES = {"x": (1, 2, 0), "y": (2, 0, 1), "z": (0, 1, 2)}


@dataclass(frozen=True)
class Frame:
    """A place and an orientation: ``axes`` are the nine entries, row by row, of the rotation local → world."""

    origin: Triple
    axes: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @classmethod
    def upright(cls, origin: Triple, yaw: float) -> Frame:
        """A frame that stands on its place, its x axis turned by ``yaw`` from the world's towards y."""
        cosine, sine = math.cos(yaw), math.sin(yaw)
        return cls(origin, (cosine, -sine, 0.0, sine, cosine, 0.0, 0.0, 0.0, 1.0))

    def point(self, x: float, y: float, z: float) -> Triple:
        """World coordinates of a local point."""
        a, o = self.axes, self.origin
        return (
            o[0] + a[0] * x + a[1] * y + a[2] * z,
            o[1] + a[3] * x + a[4] * y + a[5] * z,
            o[2] + a[6] * x + a[7] * y + a[8] * z,
        )

    def at(self, x: float, y: float, z: float) -> Frame:
        """The same orientation at a local point."""
        return Frame(self.point(x, y, z), self.axes)

    def yawed(self, angle: float) -> Frame:
        """Turned about its own z axis, from x towards y."""
        c, s = math.cos(angle), math.sin(angle)
        return self._turned((c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0))

    def pitched(self, angle: float) -> Frame:
        """Turned about its own y axis, from z towards x."""
        c, s = math.cos(angle), math.sin(angle)
        return self._turned((c, 0.0, s, 0.0, 1.0, 0.0, -s, 0.0, c))

    def _turned(self, turn: tuple[float, ...]) -> Frame:
        a = self.axes
        product = (
            sum(a[3 * row + k] * turn[3 * k + column] for k in range(3)) for row in range(3) for column in range(3)
        )
        return Frame(self.origin, tuple(product))


class Scene:
    """Solids and their materials, appended one by one; :meth:`finish` gives the arrays that are rendered."""

    def __init__(self) -> None:
        self._kinds: list[tuple[int, int, int]] = []
        self._rows: list[tuple[float, ...]] = []
        self._materials: list[tuple[float, ...]] = []

    def material(
        self,
        texture: int,
        colour: Colour,
        scale: float = 0.5,
        offset: tuple[float, float] = (0.0, 0.0),
        gloss: float = 0.0,
        glow: float = 0.0,
        fit: bool = False,
        lit: float = 0.0,
    ) -> int:
        """Add a material.

        Args:
            texture: number in the texture bank.
            colour: factor on the texture.
            scale: texture repetitions per metre.
            offset: of the texture, in repetitions.
            gloss: strength of mirror reflections and highlights.
            glow: light given off, as a factor on the albedo.
            fit: one copy of the texture fills each face instead of repeating.
            lit: light given off where the texture's fourth channel is set (windows, screens).
        """
        red, green, blue = (min(max(channel, 0.0), 1.5) for channel in colour)
        self._materials.append((texture, red, green, blue, scale, *offset, gloss, glow, float(fit), lit))
        return len(self._materials) - 1

    def box(self, frame: Frame, centre: Triple, half: Triple, material: int, label: int, hole: float = 0.0) -> None:
        """A box with half extents ``half``; ``hole`` > 0 makes it a fence of bars."""
        self._add(BOX, frame, centre, half, material, label, hole=hole)

    def ellipsoid(
        self, frame: Frame, centre: Triple, half: Triple, material: int, label: int, hole: float = 0.0
    ) -> None:
        """An ellipsoid with half axes ``half``; ``hole`` in (0, 1) is the share cut out of it, as between leaves."""
        self._add(ELLIPSOID, frame, centre, half, material, label, hole=hole)

    def cylinder(
        self, frame: Frame, centre: Triple, radius: float, half: float, material: int, label: int, axis: str = "z"
    ) -> None:
        """A cylinder of half length ``half`` along one of the frame's axes."""
        columns = _CYLINDER_AXES[axis]
        axes = tuple(frame.axes[3 * row + column] for row in range(3) for column in columns)
        turned = Frame(frame.point(*centre), axes)
        self._add(CYLINDER, turned, (0.0, 0.0, 0.0), (radius, radius, half), material, label)

    def frustum(
        self,
        frame: Frame,
        centre: Triple,
        half: Triple,
        top: tuple[float, float],
        material: int,
        label: int,
        lean: float = 0.0,
    ) -> None:
        """A box whose top face is scaled by ``top`` (each ≤ 1) and shifted by ``lean`` metres along x."""
        self._add(FRUSTUM, frame, centre, half, material, label, top, lean / half[0])

    def _add(
        self,
        kind: int,
        frame: Frame,
        centre: Triple,
        half: Triple,
        material: int,
        label: int,
        top: tuple[float, float] = (1.0, 1.0),
        lean: float = 0.0,
        hole: float = 0.0,
    ) -> None:
        self._kinds.append((kind, material, label))
        self._rows.append((*frame.point(*centre), *half, *frame.axes, (1 - top[0]) / 2, (1 - top[1]) / 2, lean, hole))

    def __len__(self) -> int:
        return len(self._kinds)

    def finish(self) -> Solids:
        """The scene as arrays."""
        kinds, rows = np.array(self._kinds, np.int32), np.array(self._rows, np.float64)
        return Solids.build(kinds, rows, np.array(self._materials, np.float32))


@dataclass(frozen=True)
class Solids:
    """n solids, each an affine image of a unit solid (cube, tapered cube, ball, cylinder) centred on the origin.

    Attributes:
        kind: BOX, FRUSTUM, ELLIPSOID or CYLINDER [n].
        label: class [n].
        center: world position [n, 3], float64.
        inverse: linear part of world → unit solid [n, 3, 3], float64.
        corners: of the bounding parallelepiped [n, 8, 3], float64.
        half: half extents in metres [n, 3].
        taper: half of what the top of a frustum loses in x and y [n, 2].
        hole: share cut out [n].
        material: row in ``materials`` [n].
        materials: texture, red, green, blue, scale, offset u, offset v, gloss, glow, fit, lit [m, 11].
    """

    kind: np.ndarray
    label: np.ndarray
    center: np.ndarray
    inverse: np.ndarray
    corners: np.ndarray
    half: np.ndarray
    taper: np.ndarray
    hole: np.ndarray
    material: np.ndarray
    materials: np.ndarray

    @classmethod
    def build(cls, kinds: np.ndarray, rows: np.ndarray, materials: np.ndarray) -> Solids:
        """From ``kinds`` [n, 3] (kind, material, label), ``rows`` [n, 19] (centre, half, axes, taper, lean, hole)."""
        half, axes = rows[:, 3:6], rows[:, 6:15].reshape(-1, 3, 3)
        lean = rows[:, 17] / 2
        # Unit → world is rotation · extents · shear; a frustum's shear moves x with z.
        forward = axes * half[:, None, :]
        shifted = forward[:, :, 0] * lean[:, None]
        forward[:, :, 2] += shifted
        inverse = np.swapaxes(axes, 1, 2) / half[:, :, None]
        inverse[:, 0] -= lean[:, None] * inverse[:, 2]
        center = rows[:, 0:3] + shifted
        corners = center[:, None] + (_CORNERS[None, :, None, :] * forward[:, None]).sum(-1)
        numbers = rows.astype(np.float32)
        return cls(
            kind=kinds[:, 0],
            label=kinds[:, 2].astype(np.int8),
            center=center,
            inverse=inverse,
            corners=corners,
            half=numbers[:, 3:6],
            taper=numbers[:, 15:17],
            hole=numbers[:, 18],
            material=kinds[:, 1],
            materials=materials,
        )
