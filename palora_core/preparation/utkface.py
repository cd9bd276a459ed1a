"""UTKFace: the aligned and cropped pictures to 64 × 64, labels from their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from palora_core.errors import UserError
from palora_core.preparation._read import files_below, read_image, some
from palora_core.preparation._shards import Part, PerItem
from palora_core.preparation.base import Piece, Plan, Preparer, count_note, preparers

SIZE = 64
OFFICIAL = 23_705
LEAST = 3
PICTURES = (".jpg", ".jpeg", ".png")
# Age, gender, race, date and time. Two names of the release go on after that with a space and with "jpg".
NAME = re.compile(r"(\d+)_(\d+)_(\d+)_(\d+)(?: |jpg)?")
FIELDS = {"image": ((SIZE, SIZE, 3), "uint8"), "age": ((), "float32"), "gender": ((), "int8"), "race": ((), "int8")}


@dataclass(frozen=True)
class Face:
    """Reads one face; picklable.

    Attributes:
        folder: of the pictures.
        names: relative to it, in the order of the data set.
    """

    folder: Path
    names: tuple[str, ...]

    def sources(self, index: int) -> list[Path]:
        """The picture."""
        return [self.folder / self.names[index]]

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Its arrays."""
        path = self.folder / self.names[index]
        image = read_image(path, ("RGB", "L")).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        age, gender, race = labels(path)  # type: ignore[misc]
        return {
            "image": np.asarray(image, np.uint8),
            "age": np.array(age, np.float32),
            "gender": np.array(gender, np.int8),
            "race": np.array(race, np.int8),
        }


def labels(path: Path) -> tuple[int, int, int] | None:
    """Age, gender and race from ``age_gender_race_date.jpg`` (also ``….jpg.chip.jpg``); None if the name is another.

    Raises:
        UserError: the form is right but a label is none of the data set's.
    """
    match = NAME.fullmatch(path.name.partition(".")[0])
    if match is None:
        return None
    age, gender, race = (int(match[i]) for i in (1, 2, 3))
    if age > 120 or gender > 1 or race > 4:
        raise UserError(f"{path} names age {age}, gender {gender}, race {race}; expected 0-120, 0-1 and 0-4.")
    return age, gender, race


def _once(pictures: list[Path]) -> list[Path]:
    """Each face once, by name: the splits depend on no folder, and a copy in another one would be a test of memory.

    Some archives hold every face in two folders; the pictures "in the wild" have the names of the aligned ones, without
    ``.chip``, and give way to them.
    """
    faces: dict[str, Path] = {}
    for path in sorted(pictures, key=lambda path: (".chip" not in path.name, path.name)):
        faces.setdefault(path.name.partition(".")[0], path)
    return sorted(faces.values(), key=lambda path: path.name)


@preparers.register("utkface")
class UTKFace(Preparer):
    """Pictures anywhere below the source; names without all four labels are left out and listed, copies counted."""

    name: ClassVar[str] = "utkface"
    title: ClassVar[str] = "UTKFace"
    site: ClassVar[str] = "https://susanqq.github.io/UTKFace (Aligned & Cropped Faces)"
    licence: ClassVar[str] = "non-commercial research only; copyright of each picture is its owner's"
    pieces: ClassVar[tuple[Piece, ...]] = (
        Piece("the folder of aligned and cropped .jpg", ("*_*_*_*.[jJpP][pPnN]*[gG]",), "UTKFace.tar.gz"),
    )

    def plan(self, source: Path) -> Plan:
        """One part, ``all``; the benchmark splits it."""
        pictures = [path for path in files_below(source) if path.suffix.lower() in PICTURES]
        if not pictures:
            raise UserError(f"{source} holds no pictures; unpack the aligned and cropped faces there. {self.where()}")
        named = [path for path in pictures if labels(path) is not None]
        bad = [path.name for path in pictures if labels(path) is None]
        if not named:
            raise UserError(f"No picture in {source} is named age_gender_race_date (found {some(bad, 3)}).")
        good = _once(named)
        if len(good) < LEAST:
            raise UserError(f"{source} holds {len(good)} faces; at least {LEAST} are needed for a 70/10/20 split.")
        face = Face(source, tuple(str(path.relative_to(source)) for path in good))
        part = Part("all", len(good), FIELDS, PerItem(face), face.sources, 1024)
        notes = count_note("faces", len(good), OFFICIAL)
        if len(good) < len(named):
            notes += (
                f"left out {len(named) - len(good):,} pictures that are there twice, with the same labels and date.",
            )
        if bad:
            notes += (f"left out {len(bad):,} pictures whose names lack a label: {some(bad, 20)}.",)
        return Plan("the aligned and cropped faces", (part,), notes, {"left_out": bad})
