"""Real rooms: pictures and depth maps of a walk with a depth camera, the real part of the benchmark's data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from palora_core.errors import UserError
from palora_core.preparation._read import find, read_image, some
from palora_core.preparation._shards import Part, PerItem
from palora_core.preparation.base import Piece, Plan, Preparer, preparers

PICTURES = (".jpg", ".jpeg", ".png")
LEAST = 3
GREATEST = 8  # times that a recording may have been scaled down since its intrinsics were written


@dataclass(frozen=True)
class Frame:
    """Reads one frame; picklable.

    Attributes:
        pairs: picture and depth map of each frame, in the order of the walk.
        size: (height, width) of all depth maps.
    """

    pairs: tuple[tuple[Path, Path], ...]
    size: tuple[int, int]

    def sources(self, index: int) -> list[Path]:
        """The picture and the depth map."""
        return list(self.pairs[index])

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Its arrays: image uint8 and depth in millimetres, both of the depth map's size."""
        picture, depth = self.pairs[index]
        height, width = self.size
        image = read_image(picture, ("RGB", "L")).convert("RGB")
        if abs(image.width * height - image.height * width) > max(image.size):
            raise UserError(
                f"{picture} is {image.height} × {image.width} pixels and {depth} {height} × {width}, of other "
                "proportions."
            )
        resized = image.resize((width, height), Image.Resampling.BOX)
        measured = read_image(depth, ("I;16", "I", "L"), self.size)
        return {"image": np.asarray(resized, np.uint8), "depth": np.asarray(measured).clip(0, 65535).astype(np.uint16)}


@preparers.register("real_rooms")
class RealRooms(Preparer):
    """A folder with ``images/``, ``depth/`` (16 bit, millimetres, 0 unknown) and ``K.txt``, as the HoloLens sample."""

    name: ClassVar[str] = "real_rooms"
    title: ClassVar[str] = "Rooms seen by a depth camera"
    site: ClassVar[str] = "https://github.com/ardaduz/deep-video-mvs (sample-data/hololens-dataset/000)"
    licence: ClassVar[str] = "MIT"
    pieces: ClassVar[tuple[Piece, ...]] = (
        Piece("the folder images", ("images",), "the sample"),
        Piece("the folder depth", ("depth",), "the sample"),
        Piece("K.txt", ("K.txt",), "the sample"),
    )

    def plan(self, source: Path) -> Plan:
        """One part, ``frames``, in the order of their names; the benchmark splits it by time."""
        images, depths = (find(source, name, folder=True) for name in ("images", "depth"))
        intrinsics = find(source, "K.txt")
        if images is None or depths is None or intrinsics is None:
            raise UserError(
                f"{source} has no images, depth or K.txt in it; give the folder that holds {self.wanted()}."
            )
        pairs = tuple(_pairs(images, depths))
        height, width = (lambda first: (first.height, first.width))(read_image(pairs[0][1], ("I;16", "I", "L")))
        frame = Frame(pairs, (height, width))
        fields = {"image": ((height, width, 3), "uint8"), "depth": ((height, width), "uint16")}
        part = Part("frames", len(pairs), fields, PerItem(frame), frame.sources, 128)
        return Plan("a walk with a depth camera", (part,), (), {"focal": _focal(intrinsics, width)})


def _pairs(images: Path, depths: Path) -> list[tuple[Path, Path]]:
    """Pictures and the depth maps of their names."""
    pictures = sorted(
        path for path in images.iterdir() if path.suffix.lower() in PICTURES and not path.name.startswith(".")
    )
    lacking = [path.name for path in pictures if not (depths / f"{path.stem}.png").is_file()]
    if lacking:
        raise UserError(f"{depths} has no depth map for {some(lacking, 3)}; copy them there, as PNG of the same name.")
    if len(pictures) < LEAST:
        raise UserError(f"{images} holds {len(pictures)} pictures; at least {LEAST} are needed to split them by time.")
    return [(path, depths / f"{path.stem}.png") for path in pictures]


def _focal(path: Path, width: int) -> float:
    """The focal length in pixels of pictures of this width.

    The matrix may be that of the recording before it was scaled down by a whole number: its principal point tells.

    Raises:
        UserError: no camera matrix, or one of another picture.
    """
    try:
        matrix = np.loadtxt(path, dtype=np.float64)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no matrix of numbers ({error}).") from None
    if matrix.shape != (3, 3) or not matrix[0, 0] > 0 or not matrix[0, 2] > 0:
        raise UserError(f"{path} holds no camera matrix [3, 3] with a focal length and a principal point.")
    times = max(1, round(2 * matrix[0, 2] / width))
    if times > GREATEST or abs(2 * matrix[0, 2] / times - width) > 0.1 * width:
        raise UserError(
            f"{path} has its principal point at {matrix[0, 2]:g}, and pictures are {width} wide; they do not belong "
            "together."
        )
    return float(matrix[0, 0] / times)
