"""NYU Depth v2: the official labelled .mat (HDF5), or MTAN's .npy folders, to arrays of 288 × 384."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from palora_core.errors import UserError
from palora_core.preparation import _nyuv2_tables as tables
from palora_core.preparation._mtan import Modality, mtan_parts, mtan_root
from palora_core.preparation._normals import normals_from_depth
from palora_core.preparation._read import check_finite, check_range, find, load_mat
from palora_core.preparation._shards import Part, PerItem
from palora_core.preparation.base import Piece, Plan, Preparer, count_note, preparers

SIZE, FULL = (288, 384), (480, 640)
OFFICIAL = {"train": 795, "test": 654}
# Focal lengths and principal point of the release's colour camera, to which depth was aligned (camera_params.m of
# its toolbox), in pixels of 480 × 640.
INTRINSICS = (518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)
MAT = "nyu_depth_v2_labeled.mat"
ARRAYS = {"images": (3, 640, 480), "depths": (640, 480), "labels": (640, 480)}  # MATLAB's axes, reversed

MTAN = (
    Modality("image", "image", 3, -0.2, 1.2),
    Modality("label_13", "label", 0, -1, 12),
    Modality("depth", "depth", 1, 0, 100),
    Modality("normals", "normal", 3, -1.01, 1.01),
)
FIELDS = {"image": ((*SIZE, 3), "uint8"), "label_13": (SIZE, "int8"), "label_40": (SIZE, "int8")}
FIELDS |= {"depth": (SIZE, "float32"), "normals": ((*SIZE, 3), "float32")}


@dataclass(frozen=True)
class OfficialItem:
    """Reads one image of the labelled .mat; picklable.

    Attributes:
        mat: the file.
        images: index in the file, from 0, of every item.
        to_40: classes 1 … 40 of the labels 0 … 894.
        to_13: classes 1 … 13 of the classes 0 … 40.
        extra: further files that the items depend on.
    """

    mat: Path
    images: tuple[int, ...]
    to_40: tuple[int, ...]
    to_13: tuple[int, ...]
    extra: tuple[Path, ...]

    def sources(self, index: int) -> list[Path]:
        """The .mat and what goes with it."""
        return [self.mat, *self.extra]

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Arrays of item ``index``; the file's last two axes are columns and rows."""
        number = self.images[index]
        where = f"{self.mat}, image {number + 1},"
        arrays = read_image_arrays(self.mat, number)
        image, depth, labels = (arrays[name] for name in ARRAYS)
        check_finite(depth, f"{where} depths")
        check_range(depth, 0, 100, f"{where} depths", "metres")
        check_range(labels, 0, tables.LABELS, f"{where} labels", "labels")
        rows, columns = ((np.arange(n) + 0.5) * full / n for n, full in zip(SIZE, FULL))
        nearest = np.ix_(rows.astype(int), columns.astype(int))
        forty = np.asarray(self.to_40)[labels.T[nearest]]
        picture = Image.fromarray(np.ascontiguousarray(image.transpose(2, 1, 0)))
        return {
            "image": np.asarray(picture.resize(SIZE[::-1], Image.Resampling.BILINEAR), np.uint8),
            "label_13": (np.asarray(self.to_13)[forty] - 1).astype(np.int8),
            "label_40": (forty - 1).astype(np.int8),
            "depth": np.ascontiguousarray(depth.T[nearest], np.float32),
            "normals": _normals(arrays.get("normals"), depth.T, nearest, where),
        }


def _normals(given: np.ndarray | None, depth: np.ndarray, nearest: Any, where: str) -> np.ndarray:
    """The file's own normals [3, W, H] where it has some, else those of its depth [H, W]."""
    if given is None:
        return normals_from_depth(depth, INTRINSICS)[nearest]
    check_finite(given, f"{where} normals")
    check_range(given, -1.01, 1.01, f"{where} normals", "components")
    return given.transpose(2, 1, 0)[nearest].astype(np.float32)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The HDF5 file; closed again at once, since an open one is locked against other programs."""
    try:
        import h5py
    except ImportError:  # pragma: no cover - part of the extra app
        raise UserError(f"Reading {path} needs h5py; install it with: pip install h5py.") from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is truncated or no HDF5 (MATLAB 7.3) file ({reason}); download it again.") from None
    with file:
        yield file


def read_image_arrays(mat: Path, number: int) -> dict[str, np.ndarray]:
    """Picture, depths, labels and, where the file has them, normals of one image."""
    with opened(mat) as file:
        names = [*ARRAYS, *(["normals"] if "normals" in file else [])]
        try:
            return {name: file[name][number] for name in names}
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{mat} is truncated: image {number + 1} cannot be read ({reason}).") from None


@preparers.register("nyuv2")
class NYUv2(Preparer):
    """Either release; the official one if both are there."""

    name: ClassVar[str] = "nyuv2"
    title: ClassVar[str] = "NYU Depth v2"
    site: ClassVar[str] = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
    licence: ClassVar[str] = "free for research, no licence text on the site; cite Silberman et al., ECCV 2012"
    pieces: ClassVar[tuple[Piece, ...]] = (
        Piece(f"{MAT} (or MTAN's train and val)", (MAT, "train/image"), "the labelled data set, 2.8 GB"),
        Piece("splits.mat", ("splits.mat",), "the site's train/test split; built in for 1,449 images", True),
        Piece("classMapping40.mat", ("classMapping40.mat",), "Gupta et al.'s 40 classes; built in", True),
        Piece("class13Mapping.mat", ("class13Mapping.mat",), "Couprie et al.'s 13 classes; built in", True),
    )

    def plan(self, source: Path) -> Plan:
        """The parts of whichever release is there."""
        mat = find(source, MAT)
        if mat is not None:
            return self._official(source, mat)
        root = mtan_root(source, ("normal", "label", "depth", "image"))  # what other data sets lack first
        if root is None:
            raise UserError(
                f"{source} holds neither {MAT} nor MTAN's train/image, train/label, train/depth and train/normal. "
                f"{self.where()}"
            )
        parts = mtan_parts(root, MTAN, SIZE, 16)
        return Plan("MTAN's .npy folders", parts, _notes(parts))

    def _official(self, source: Path, mat: Path) -> Plan:
        count, own_normals = _check_mat(mat)
        files = [find(source, name) for name in ("splits.mat", "classMapping40.mat", "class13Mapping.mat")]
        split, how = _split(files[0], count)
        to_40, to_13 = _mapping_40(files[1]), _mapping_13(files[2])
        extra = tuple(path for path in files if path is not None)
        parts = []
        for name, images in split.items():
            item = OfficialItem(mat, tuple(images), tuple(to_40.tolist()), tuple(to_13.tolist()), extra)
            parts.append(Part(name, len(images), FIELDS, PerItem(item), item.sources, 16, f"official {how}"))
        normals = "normals of the file" if own_normals else "normals computed from depth"
        return Plan(f"the official .mat, {how}, {normals}", tuple(parts), _notes(tuple(parts)))


def _check_mat(mat: Path) -> tuple[int, bool]:
    """Number of images, after checking the shapes of all arrays, and whether there are normals."""
    with opened(mat) as file:
        shapes = {name: getattr(file.get(name), "shape", None) for name in (*ARRAYS, "normals")}
        kinds = {name: getattr(getattr(file.get(name), "dtype", None), "kind", "") for name in ARRAYS}
        pixels = getattr(file.get("images"), "dtype", None)
    for name, shape in {**ARRAYS, "normals": ARRAYS["images"]}.items():
        found = shapes[name]
        if found is None and name != "normals":
            raise UserError(f"{mat} has no array {name!r}; it is not the labelled data set of NYU Depth v2.")
        if found is not None and found[1:] != shape:
            raise UserError(f"{mat}: {name} is {list(found)}, expected [N, {', '.join(map(str, shape))}].")
    if pixels != np.uint8 or kinds["labels"] not in "ui" or kinds["depths"] not in "fui":
        raise UserError(f"{mat} must hold images of uint8, whole-numbered labels and depths in metres; it has others.")
    counts = {name: shape[0] for name, shape in shapes.items() if shape is not None}
    if len(set(counts.values())) > 1 or not counts["images"]:
        listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        raise UserError(f"{mat} holds {listed}; expected as many of each.")
    return counts["images"], "normals" in counts


def _split(path: Path | None, count: int) -> tuple[dict[str, list[int]], str]:
    """Images, from 0, of the parts, and how they were found."""
    if path is not None:
        variables = load_mat(path, "splits.mat of NYU Depth v2")
        split = {part: _indices(path, variables, f"{part}Ndxs", count) for part in ("train", "test")}
        both = sorted(set(split["train"]) & set(split["test"]))
        if both:
            raise UserError(
                f"{path} has image {both[0] + 1} in the training and in the test split ({len(both):,} such)."
            )
        return split, "split by splits.mat"
    if count == tables.IMAGES:
        test = tables.test_images()
        return {"train": sorted(set(range(count)) - set(test.tolist())), "test": test.tolist()}, "standard split"
    if count < 2:
        raise UserError(f"One image cannot be split into training and test; give {MAT} with more.")
    cut = min(count - 1, max(1, round(count * OFFICIAL["train"] / tables.IMAGES)))
    return {"train": list(range(cut)), "test": list(range(cut, count))}, "first images for training"


def _indices(path: Path, variables: dict[str, Any], name: str, count: int) -> list[int]:
    if name not in variables:
        raise UserError(f"{path} has no {name}; it is not splits.mat of NYU Depth v2.")
    indices = np.asarray(variables[name]).reshape(-1)
    if not len(indices) or not np.isin(indices, np.arange(1, count + 1)).all():
        raise UserError(f"{path}: {name} must hold numbers 1 … {count:,}, the images of {MAT}.")
    return (indices.astype(int) - 1).tolist()


def _mapping_40(path: Path | None) -> np.ndarray:
    """Classes 0 … 40 of labels 0 … 894."""
    if path is None:
        return tables.to_40()
    mapping = np.asarray(load_mat(path, "classMapping40.mat").get("mapClass", [])).reshape(-1)
    if len(mapping) != tables.LABELS or mapping.min() < 0 or mapping.max() > 40:
        raise UserError(f"{path}: mapClass must hold {tables.LABELS} classes 1 … 40.")
    return np.concatenate([[0], mapping]).astype(int)


def _mapping_13(path: Path | None) -> np.ndarray:
    """Classes 0 … 13 of classes 0 … 40."""
    if path is None:
        return tables.to_13()
    value = load_mat(path, "class13Mapping.mat").get("classMapping13")
    try:
        mapping = np.asarray(value["labels13"][0, 0]).reshape(-1).astype(int)  # type: ignore[index]
    except (TypeError, IndexError, KeyError, ValueError):
        mapping = np.empty(0, int)
    if len(mapping) != 40 or mapping.min() < 0 or mapping.max() > 13:
        raise UserError(f"{path}: classMapping13.labels13 must hold 40 classes 1 … 13.")
    return np.concatenate([[0], mapping])


def _notes(parts: tuple[Part, ...]) -> tuple[str, ...]:
    return tuple(note for part in parts for note in count_note(f"{part.name} images", part.count, OFFICIAL[part.name]))
