"""CelebA: aligned pictures to 64 × 64, the 40 attributes and the official partition."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from palora_core.errors import UserError
from palora_core.preparation._read import find, read_image, some
from palora_core.preparation._shards import Part, PerItem
from palora_core.preparation.base import Piece, Plan, Preparer, count_note, preparers

SIZE = 64
OFFICIAL = {"train": 162_770, "val": 19_867, "test": 19_962}
_NAMES = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair Blurry
Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
Wearing_Necktie Young
"""
ATTRIBUTES = tuple(_NAMES.split())
FIELDS = {"image": ((SIZE, SIZE, 3), "uint8"), "attributes": ((len(ATTRIBUTES),), "int8")}
FILES = ("list_attr_celeba.txt", "list_eval_partition.txt")


@dataclass(frozen=True)
class Face:
    """Reads one face; picklable.

    Attributes:
        folder: of the pictures.
        names: of the part's pictures.
        attributes: int8 [N, 40], 0 or 1.
    """

    folder: Path
    names: tuple[str, ...]
    attributes: np.ndarray

    def sources(self, index: int) -> list[Path]:
        """The picture."""
        return [self.folder / self.names[index]]

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Its arrays."""
        image = read_image(self.folder / self.names[index], ("RGB",)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        return {"image": np.asarray(image, np.uint8), "attributes": self.attributes[index]}


@preparers.register("celeba")
class CelebA(Preparer):
    """``img_align_celeba``, ``list_attr_celeba.txt`` and ``list_eval_partition.txt``, in any sub-folders."""

    name: ClassVar[str] = "celeba"
    title: ClassVar[str] = "CelebA"
    site: ClassVar[str] = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    licence: ClassVar[str] = "non-commercial research only, no redistribution"
    pieces: ClassVar[tuple[Piece, ...]] = (
        Piece("img_align_celeba", ("img_align_celeba/*.jpg", "img_align_celeba/*.png"), "img_align_celeba.zip"),
        Piece(FILES[0], (FILES[0],), "the Anno folder"),
        Piece(FILES[1], (FILES[1],), "the Eval folder"),
    )

    def plan(self, source: Path) -> Plan:
        """Parts ``train``, ``val`` and ``test`` of the official partition."""
        folder = find(source, "img_align_celeba", folder=True)
        files = [find(source, name) for name in FILES]
        for piece, found in zip(self.pieces, (folder, *files)):
            if found is None:
                raise UserError(
                    f"There is no {piece.name} below {source} (it comes in {piece.comes_in}). {self.where()}"
                )
        attributes = read_attributes(files[0])  # type: ignore[arg-type]
        partition = read_partition(files[1])  # type: ignore[arg-type]
        _check_names(attributes, partition, files, _pictures(folder))  # type: ignore[arg-type]
        parts = []
        for number, split in enumerate(OFFICIAL):
            names = tuple(name for name, where in partition.items() if where == number)
            if not names:
                raise UserError(f"{files[1]} names no {split} pictures (partition {number}); download it again.")
            face = Face(_pictures(folder), names, np.stack([attributes[name] for name in names]))  # type: ignore[arg-type]
            digest = hashlib.sha256(face.attributes.tobytes()).hexdigest()
            parts.append(Part(split, len(names), FIELDS, PerItem(face), face.sources, 2048, digest))
        notes = [n for part in parts for n in count_note(f"{part.name} pictures", part.count, OFFICIAL[part.name])]
        return Plan("the aligned pictures", tuple(parts), tuple(notes))


def _pictures(folder: Path) -> Path:
    """The archive unpacks to a folder of its own name inside the one that some people make for it."""
    inner = folder / folder.name
    return inner if inner.is_dir() else folder


def read_attributes(path: Path) -> dict[str, np.ndarray]:
    """Picture name → attributes int8 [40], 1 where the file has 1 and 0 where it has -1."""
    lines = _lines(path)
    if len(lines) < 3 or not lines[0].strip().isdigit() or tuple(lines[1].split()) != ATTRIBUTES:
        raise UserError(f"{path} must begin with a count and the names of CelebA's 40 attributes.")
    result = {}
    for number, line in enumerate(lines[2:], 3):
        name, *values = line.split()
        if len(values) != len(ATTRIBUTES) or set(values) - {"1", "-1"}:
            raise UserError(f"{path}, line {number}: expected a picture and 40 values 1 or -1, found {line[:60]!r}.")
        result[name] = np.array([value == "1" for value in values], np.int8)
    if len(result) != int(lines[0]):
        raise UserError(f"{path} promises {int(lines[0]):,} pictures and lists {len(result):,}; download it again.")
    return result


def read_partition(path: Path) -> dict[str, int]:
    """Picture name → 0 (train), 1 (validation) or 2 (test)."""
    result = {}
    for number, line in enumerate(_lines(path), 1):
        name, *value = line.split()
        if len(value) != 1 or value[0] not in ("0", "1", "2"):
            raise UserError(f"{path}, line {number}: expected a picture and 0, 1 or 2, found {line[:60]!r}.")
        result[name] = int(value[0])
    return result


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}); download it again.") from None


def _check_names(attributes: dict, partition: dict, files: list[Path], folder: Path) -> None:
    if set(attributes) != set(partition):
        different = sorted(set(attributes) ^ set(partition))
        raise UserError(
            f"{files[0]} lists {len(attributes):,} pictures and {files[1]} {len(partition):,}; they differ in "
            f"{some(different, 3)}."
        )
    there = {path.name for path in folder.iterdir()}
    missing = sorted(set(attributes) - there)
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing):,} of the {len(attributes):,} pictures that {files[0].name} lists: "
            f"{some(missing, 3)}; unzip img_align_celeba.zip again."
        )
