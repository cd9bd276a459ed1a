"""Pictures of real rooms with the depth that a sensor measured: no classes, so they are labelled in part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.batches import Batch
from palora_core.data import ArraySplit, Split
from palora_core.errors import UserError
from palora_core.storage.prepared import Prepared

NAME = "real_rooms"  # of the prepared frames, below the data root
OFFICIAL, TEST, VALIDATION = 373, 73, 30  # frames of the walk; the last ones are the test, those before validate
JUMP = 0.3  # metres between neighbours that are no surface
BASELINE = 64  # a normal is measured over two pixels of a picture that is 128 wide
FARTHEST = 15.0  # metres


@dataclass(frozen=True)
class Frames:
    """N frames in the form of the generated rooms: what :class:`ArraySplit` takes."""

    images: np.ndarray
    depths: np.ndarray
    normals: np.ndarray

    def split(self, rows: slice, convert: object) -> ArraySplit:
        """The frames ``rows``; every pixel's class is unknown."""
        labels = np.full(self.depths[rows].shape, -1, np.int8)
        targets = {"segmentation": labels, "depth": self.depths[rows], "normals": self.normals[rows]}
        return ArraySplit(self.images[rows], targets, convert)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Interleaved:
    """Generated and real items in turns, so that any run of them has its share of each; the real ones come repeatedly.

    Attributes:
        made: the generated split.
        real: the real one.
        share: of real items among all, in (0, 1).
    """

    made: Split
    real: Split
    share: float = 0.5

    def __len__(self) -> int:
        return round(len(self.made) / (1 - self.share))

    def batch(self, indices: Tensor) -> Batch:
        """Items of both kinds together in one batch, generated ones first."""
        before, after = self._real_ones(indices), self._real_ones(indices + 1)
        is_real = after > before
        parts = [self.made.batch((indices - before)[~is_real] % len(self.made))] if not is_real.all() else []
        if is_real.any():
            parts.append(self.real.batch(before[is_real] % len(self.real)))
        inputs = torch.cat([x for x, _ in parts])
        return inputs, {name: torch.cat([targets[name] for _, targets in parts]) for name in parts[0][1]}

    def _real_ones(self, indices: Tensor) -> Tensor:
        """How many of the items before each index are real."""
        return (indices.double() * self.share + 1e-9).floor().long()


def places(count: int) -> dict[str, slice]:
    """Rows of the splits, by time and never at random: neighbours in time look alike."""
    if count < 3:
        raise UserError(f"{count} frames cannot be divided into training, validation and test; prepare more.")
    test = max(1, round(count * TEST / OFFICIAL))
    val = max(1, round(count * VALIDATION / OFFICIAL))
    return {
        "train": slice(0, count - test - val),
        "val": slice(count - test - val, count - test),
        "test": slice(count - test, count),
    }


def frames(data: Path, height: int, width: int) -> Frames:
    """The prepared frames, their middle at the size that the network takes.

    Raises:
        UserError: they are not prepared, with the command that does it.
    """
    prepared = Prepared.open(data, NAME)
    fields = prepared.fields("frames")
    focal = prepared.manifest.get("focal")
    if not isinstance(focal, int | float) or not focal > 0:
        raise UserError(f"{prepared.folder / 'manifest.json'} does not tell the focal length; prepare {NAME} again.")
    every = slice(None)
    made = [
        resized(*pair, float(focal), (height, width)) for pair in zip(fields["image"][every], fields["depth"][every])
    ]
    return Frames(*(np.stack(arrays) for arrays in zip(*made)))


def resized(
    image: np.ndarray, millimetres: np.ndarray, focal: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A frame's middle: image uint8 [H, W, 3], depth float16 metres [H, W], normals int8 × 127 [H, W, 3]."""
    rows, columns = millimetres.shape
    height, width = min(rows, round(columns * size[0] / size[1])), min(columns, round(rows * size[1] / size[0]))
    top, left = (rows - height) // 2, (columns - width) // 2
    part = image[top : top + height, left : left + width]
    pixels = torch.from_numpy(part.copy()).permute(2, 0, 1)[None].float()
    seen = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
    down = top + ((np.arange(size[0]) + 0.5) * height / size[0]).astype(int)
    right = left + ((np.arange(size[1]) + 0.5) * width / size[1]).astype(int)
    depth = millimetres[down][:, right].astype(np.float32) / 1000
    depth[depth > FARTHEST] = 0
    normals = central_normals(depth, focal * size[1] / width)
    return (
        seen[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy(),
        depth.astype(np.float16),
        np.rint(normals * 127).astype(np.int8),
    )


def central_normals(depth: np.ndarray, focal: float) -> np.ndarray:
    """Unit normals [H, W, 3] towards the camera (x right, y down, z forward) from differences of neighbouring points.

    Args:
        depth: metres [H, W], 0 where unknown, of a picture from the middle of the camera's.
        focal: in its pixels.

    Returns:
        float32; 0 where a neighbour is unknown or more than 0.3 m nearer or farther.
    """
    height, width = depth.shape
    step = max(1, round(width / 2 / BASELINE))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    rays = np.stack([(columns + 0.5 - width / 2) / focal, (rows + 0.5 - height / 2) / focal, np.ones_like(depth)], -1)
    points = rays * depth[..., None]
    inner = slice(step, -step)
    across = points[inner, 2 * step :] - points[inner, : -2 * step]
    down = points[2 * step :, inner] - points[: -2 * step, inner]
    known = depth > 0
    good = known[inner, 2 * step :] & known[inner, : -2 * step] & known[2 * step :, inner] & known[: -2 * step, inner]
    good &= known[inner, inner] & (np.abs(across[..., 2]) < JUMP) & (np.abs(down[..., 2]) < JUMP)
    found = np.cross(down, across)
    found *= np.where((found * points[inner, inner]).sum(-1, keepdims=True) > 0, -1, 1)
    found /= np.linalg.norm(found, axis=-1, keepdims=True) + 1e-12
    normals = np.zeros((height, width, 3), np.float32)
    normals[inner, inner] = found * good[..., None]
    return normals
