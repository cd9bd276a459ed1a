"""Reading MNIST-like digits (idx files in torchvision's layout, or the subset that travels with the project)."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core.errors import UserError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class Digits:
    """Images uint8 [N, 28, 28] and labels uint8 [N]; ``source`` says where they are from."""

    images: np.ndarray
    labels: np.ndarray
    source: str


def read_digits(data: Path, name: str, split: str) -> Digits:
    """Digits of ``name`` ("MNIST", "FashionMNIST") from ``data/name/raw``; for MNIST, else the bundled subset.

    Raises:
        UserError: files that are missing (where there is no subset), truncated or not in idx format.
    """
    folder = Path(data) / name / "raw"
    images_name, labels_name = FILES[split]
    images_file, labels_file = _find(folder, images_name), _find(folder, labels_name)
    if images_file is None and labels_file is None:
        travelling = bundled(name, split)
        if travelling is not None:
            return travelling
        raise UserError(f"{name} is not in {folder}; run: python -m palora_core prepare {name.lower()} --data {data}")
    if images_file is None or labels_file is None:
        missing = images_name if images_file is None else labels_name
        raise UserError(f"{folder} has no {missing} beside its other {split} file; copy it there too.")
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels) or images.shape[1:] != (28, 28):
        raise UserError(
            f"{images_file} holds {list(images.shape)} pixels for {len(labels)} labels, expected [N, 28, 28] for N."
        )
    return Digits(images, labels, f"{name} ({len(images):,} {split} digits)")


def bundled(name: str, split: str) -> Digits | None:
    """The digits of ``name`` that travel with the project, if any do."""
    return _subset(split) if name == "MNIST" else None


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array of an idx file, gzipped or not."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is truncated or not a gzip file ({error}); copy it again.") from None
    head = 4 + 4 * dimensions
    if len(raw) < head or raw[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(f"{path} is not an idx file of {dimensions} dimensions; copy it again.")
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    if len(raw) != head + math.prod(shape):
        raise UserError(
            f"{path} holds {len(raw):,} bytes, its header promises {head + math.prod(shape):,}; copy it again."
        )
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def overlay(digits: Digits, places: list[tuple[int, int]], canvas: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """``count`` images of several digits on one canvas, scaled down to 28 × 28.

    Each digit is a random one of ``digits``; overlapping pixels take the maximum, and the canvas is resized
    bicubically with antialiasing, as the benchmark's authors did with Pillow (values overshoot a little).

    Args:
        digits: source of the digits.
        places: (row, column) of each digit's upper left corner.
        canvas: side of the square canvas.
        count: number of images N.
        seed: of the choice of digits.

    Returns:
        (images float32 [N, 1, 28, 28], labels int64 [N, digits per image]).
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(digits.images), size=(count, len(places)))
    result = torch.empty(count, 1, 28, 28)
    for start in range(0, count, 2048):
        part = chosen[start : start + 2048]
        sheet = np.zeros((len(part), canvas, canvas), np.uint8)
        for place, (row, column) in enumerate(places):
            view = sheet[:, row : row + 28, column : column + 28]
            np.maximum(view, digits.images[part[:, place]], out=view)
        pixels = torch.from_numpy(sheet).unsqueeze(1).float().div_(255)
        result[start : start + 2048] = F.interpolate(
            pixels, (28, 28), mode="bicubic", antialias=True, align_corners=False
        )
    return result, torch.from_numpy(digits.labels[chosen].astype(np.int64))


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _subset(split: str) -> Digits:
    asset = resources.files("palora_core.benchmarks") / "assets" / "mnist_subset.npz"
    with resources.as_file(asset) as path, np.load(path) as arrays:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    return Digits(images, labels, f"bundled MNIST subset ({len(images):,} {split} digits)")
