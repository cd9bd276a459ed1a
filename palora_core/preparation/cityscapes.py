"""CityScapes: the official release at 1024 × 2048, or MTAN's .npy folders, to arrays of 128 × 256."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from palora_core.errors import UserError
from palora_core.preparation._mtan import Modality, mtan_parts, mtan_root
from palora_core.preparation._read import check_range, find, read_image, some
from palora_core.preparation._shards import Part, PerItem
from palora_core.preparation.base import Piece, Plan, Preparer, count_note, preparers

FULL, SIZE = (1024, 2048), (128, 256)
OFFICIAL = {"train": 2975, "test": 500}
SPLITS = {"train": "train", "val": "test"}

# Label ids 0 … 33 of the release (labels.py of cityscapesScripts) → the seven categories flat, construction, object,
# nature, sky, human, vehicle; -1 for void. All ids of a category count, also those that the 19 classes leave out.
CATEGORIES = np.array([-1] * 7 + [0] * 4 + [1] * 6 + [2] * 4 + [3] * 2 + [4] + [5] * 2 + [6] * 8, np.int8)
# … and → the 19 classes of the official evaluation ("train ids").
_TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13}
_TRAIN_IDS |= {27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
CLASSES = np.array([_TRAIN_IDS.get(label, -1) for label in range(34)], np.int8)

MTAN = (
    Modality("image", "image", 3, -0.2, 1.2),  # resized with an overshooting filter
    Modality("label_7", "label_7", 0, -1, 6),
    Modality("label_19", "label_19", 0, -1, 18),
    Modality("depth", "depth", 1, 0, 10),  # the published files end at 0.4922; beyond 10 it is a disparity
)
FIELDS = {"image": ((*SIZE, 3), "uint8"), "label_7": (SIZE, "int8"), "label_19": (SIZE, "int8")}
FIELDS |= {"depth": (SIZE, "float32")}
FOLDERS = ("leftImg8bit", "gtFine", "disparity")


@dataclass(frozen=True)
class OfficialItem:
    """Reads one frame of the official release; picklable.

    Attributes:
        folders: of leftImg8bit, gtFine and disparity, the split included.
        frames: ``city/city_000000_000019`` of every item.
    """

    folders: tuple[Path, Path, Path]
    frames: tuple[str, ...]

    def sources(self, index: int) -> list[Path]:
        """Picture, labels and disparity of item ``index``."""
        ends = ("leftImg8bit", "gtFine_labelIds", "disparity")
        return [folder / f"{self.frames[index]}_{end}.png" for folder, end in zip(self.folders, ends)]

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Its arrays."""
        picture, labels, disparity = self.sources(index)
        image = read_image(picture, ("RGB",), FULL).resize(SIZE[::-1], Image.Resampling.BOX)
        ids = np.asarray(read_image(labels, ("L", "P"), FULL))
        check_range(ids, 0, 33, str(labels), "label ids")
        ids = _nearest(ids)
        return {
            "image": np.asarray(image, np.uint8),
            "label_7": CATEGORIES[ids],
            "label_19": CLASSES[ids],
            "depth": inverse_depth(_nearest(np.asarray(read_image(disparity, ("I;16", "I;16B", "I"), FULL)))),
        }


def inverse_depth(stored: np.ndarray) -> np.ndarray:
    """16-bit disparities of the release → inverse depth float32 in the scale of MTAN's files; 0 where unknown.

    The release stores d = 256 · disparity + 1 and 0 for unknown, so the disparity is (d - 1) / 256 pixels at the full
    resolution. MTAN's published values reach 0.4922 where the release's d reaches 32257, which is this disparity over
    256; metres are 0.209313 · 2262.52 / disparity for the standard camera.
    """
    disparity = np.maximum(stored.astype(np.float32) - 1, 0) / 256
    return (disparity / 256).astype(np.float32)


def _nearest(pixels: np.ndarray) -> np.ndarray:
    """Every eighth pixel of both axes, from the middle of its block of 8 × 8: labels and holes must not mix."""
    return pixels[4::8, 4::8]


@preparers.register("cityscapes")
class CityScapes(Preparer):
    """Either release; the official one if both are there."""

    name: ClassVar[str] = "cityscapes"
    title: ClassVar[str] = "CityScapes"
    site: ClassVar[str] = "https://www.cityscapes-dataset.com (after registration)"
    licence: ClassVar[str] = "non-commercial research and teaching only, no redistribution; see the site's licence"
    pieces: ClassVar[tuple[Piece, ...]] = (
        Piece(
            "leftImg8bit (MTAN: image)",
            ("leftImg8bit/*/*/*_leftImg8bit.png", "train/image"),
            "leftImg8bit_trainvaltest.zip",
        ),
        Piece(
            "gtFine (MTAN: label_7)", ("gtFine/*/*/*_gtFine_labelIds.png", "train/label_7"), "gtFine_trainvaltest.zip"
        ),
        Piece(
            "disparity (MTAN: depth)", ("disparity/*/*/*_disparity.png", "train/depth"), "disparity_trainvaltest.zip"
        ),
    )

    def plan(self, source: Path) -> Plan:
        """The parts of whichever release is there."""
        folders = [_folder(source, name) for name in FOLDERS]
        root = mtan_root(source, ("label_7", "label_19", "depth", "image"))  # what others lack first
        if any(folders):
            return self._official(source, folders)
        if root is None:
            raise UserError(
                f"{source} holds neither the official folders leftImg8bit, gtFine and disparity nor MTAN's "
                f"train/image, train/label_7 and train/depth; unzip the release there. {self.where()}"
            )
        wanted = [m for m in MTAN if m.field != "label_19" or (root / "train" / m.folder).is_dir()]
        parts = mtan_parts(root, wanted, SIZE, 128)
        return Plan("MTAN's .npy folders", parts, _notes(parts))

    def _official(self, source: Path, folders: list[Path | None]) -> Plan:
        for name, piece, folder in zip(FOLDERS, self.pieces, folders):
            if folder is None:
                raise UserError(
                    f"There is no folder {name} below {source}; unzip {piece.comes_in} there. {self.where()}"
                )
        parts = tuple(_official_part(split, name, folders) for split, name in SPLITS.items())  # type: ignore[arg-type]
        return Plan("the official release", parts, _notes(parts))


def _folder(source: Path, name: str) -> Path | None:
    """The folder ``name`` with a train split; the site's other archives have folders of the same name without one."""
    split = find(source, f"{name}/train", folder=True)
    return split.parent if split else find(source, name, folder=True)


def _official_part(split: str, name: str, folders: list[Path]) -> Part:
    places = tuple(folder / split for folder in folders)
    ends = ("_leftImg8bit.png", "_gtFine_labelIds.png", "_disparity.png")
    frames = [
        {str(path.relative_to(place))[: -len(end)] for path in place.glob(f"*/[!.]*{end}")}
        for place, end in zip(places, ends)
    ]
    every = sorted(set().union(*frames))
    if not every:
        raise UserError(f"{places[0]} holds no <city>/*_leftImg8bit.png; unzip the release there again.")
    for place, end, found in zip(places, ends, frames):
        missing = [f"{frame}{end}" for frame in every if frame not in found]
        if missing:
            raise UserError(
                f"{place} has {len(found):,} of {len(every):,} frames: {some(missing, 3)} missing; unzip it again."
            )
    item = OfficialItem(places, tuple(every))  # type: ignore[arg-type]
    return Part(name, len(every), FIELDS, PerItem(item), item.sources, 64, "official")


def _notes(parts: tuple[Part, ...]) -> tuple[str, ...]:
    notes = [note for part in parts for note in count_note(f"{part.name} frames", part.count, OFFICIAL[part.name])]
    return tuple(notes)
