"""Whether an input is like those of the training data: a distance with a known rate of false alarms.

Inputs are described by a few pooled features; the distance is Mahalanobis' to the training items' (1936), with a
covariance that is shrunk towards its diagonal. The threshold is a quantile of the validation items' distances, and the
rate of false alarms is counted on test items, which neither has seen. It tells another world from this one, not a hard
item from an easy one: an unfamiliar input may be predicted well, a familiar one badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from palora_core import batches
from palora_core.data import Split
from palora_core.errors import UserError
from palora_core.storage.npz import read_npz
from palora_core.storage.writing import write_atomically

FILE = "familiarity.npz"
MOST_ITEMS = 2000  # of training; a fifth of them of the other splits
LEAST_ITEMS = 20
MOST_FEATURES = 256
SHRINKAGE = 0.1
QUANTILE = 0.99
GRID = 4  # cells of a picture, each way
VERSION = 1


def features(inputs: Any) -> Tensor | None:
    """Pooled features [B, F] of inputs (any nesting of tensors, B items); None where they are not numbers to measure.

    Of pictures [B, C, H, W] the mean of each of 4 × 4 cells, and per channel the logarithm of its deviation and of its
    steps from pixel to pixel at three scales; of sequences [B, C, L] those of each channel; of rows [B, F] themselves.
    """
    found = batches.tensors(inputs)
    if not found or not all(tensor.is_floating_point() and tensor.dim() in (2, 3, 4) for tensor in found):
        return None
    parts = [_pooled(tensor.detach().float().cpu()) for tensor in found]
    joined = torch.cat(parts, 1)
    return joined if joined.shape[1] <= MOST_FEATURES else None


def _pooled(x: Tensor) -> Tensor:
    if x.dim() == 2:
        return x
    picture = x if x.dim() == 4 else x.unsqueeze(2)
    cells = F.adaptive_avg_pool2d(picture, (GRID if x.dim() == 4 else 1, GRID)).flatten(1)
    deviation = picture.flatten(2).std(2)
    steps = []
    for _ in range(3):
        steps.append((picture[..., 1:] - picture[..., :-1]).abs().mean((2, 3)) if picture.shape[-1] > 1 else deviation)
        picture = F.avg_pool2d(picture, 2 if min(picture.shape[2:]) > 1 else 1)
    return torch.cat([cells, *(torch.log(part + 1e-4) for part in (deviation, *steps))], 1)


@dataclass(frozen=True)
class Familiarity:
    """What inputs of the training data are like.

    Attributes:
        mean: of the features [F].
        factor: [F, F]; a deviation times it has the identity as its covariance.
        threshold: distances above are unfamiliar.
        false_alarms: the share of test items that are told to be unfamiliar though they are not.
        items: how many were described, of training, validation and test.
    """

    mean: np.ndarray
    factor: np.ndarray
    threshold: float
    false_alarms: float
    items: tuple[int, int, int]

    def distances(self, inputs: Any) -> np.ndarray | None:
        """Mahalanobis distances [B]; None for inputs of another form."""
        found = features(inputs)
        if found is None or found.shape[1] != len(self.mean):
            return None
        return np.linalg.norm((found.double().numpy() - self.mean) @ self.factor, axis=1)

    def sentence(self, inputs: Any) -> str:
        """What is to be said of one input, "" where it is familiar or cannot be measured."""
        found = self.distances(inputs)
        if found is None or not np.isfinite(found[0]) or found[0] <= self.threshold:
            return ""
        return (
            f"It is unlike the training data: {found[0] / self.threshold:.1f} times as far from them as 99 % of the "
            f"validation items (such a warning is false for {100 * self.false_alarms:.1f} % of {self.items[2]} tests)."
        )

    def save(self, path: Path) -> None:
        """Write ``familiarity.npz``."""
        arrays = {
            "mean": self.mean,
            "factor": self.factor,
            "numbers": np.array([VERSION, self.threshold, self.false_alarms, *self.items], dtype=np.float64),
        }

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes any keyword for allow_pickle

        write_atomically(path, write)

    @staticmethod
    def load(path: Path) -> Familiarity:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: damaged, or of another version.
        """
        arrays = read_npz(path, "familiarity")
        try:
            mean, factor, numbers = (np.asarray(arrays[name], np.float64) for name in ("mean", "factor", "numbers"))
        except (KeyError, ValueError, TypeError):
            raise UserError("familiarity.npz lacks what it must have; train the model again.") from None
        whole = numbers.shape == (6,) and numbers[0] == VERSION and mean.ndim == 1
        fits = whole and factor.shape == (len(mean), len(mean)) and len(mean) <= MOST_FEATURES
        if not fits or not all(np.isfinite(array).all() for array in (mean, factor, numbers)) or numbers[1] <= 0:
            raise UserError("familiarity.npz is not what this program writes; train the model again.")
        items = tuple(int(value) for value in numbers[3:])
        return Familiarity(mean, factor, float(numbers[1]), float(numbers[2]), (items[0], items[1], items[2]))


def familiarity(train: Split, val: Split, test: Split) -> Familiarity | None:
    """Describe the training items, set the threshold on the validation ones, count false alarms on the test ones.

    None where inputs are not numbers to measure, or a split has too few items to say anything.
    """
    described = [
        described_items(split, count)
        for split, count in zip((train, val, test), (MOST_ITEMS, MOST_ITEMS // 5, MOST_ITEMS // 5))
    ]
    if any(found is None or len(found) < LEAST_ITEMS for found in described):
        return None
    rows, checked, counted = (found.double().numpy() for found in described if found is not None)
    mean = rows.mean(0)
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    level = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    covariance = (
        (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance)) + 1e-6 * level * np.eye(len(mean))
    )
    factor = np.linalg.inv(np.linalg.cholesky(covariance)).T
    far = [np.linalg.norm((part - mean) @ factor, axis=1) for part in (checked, counted)]
    threshold = float(np.quantile(far[0], QUANTILE))
    return Familiarity(
        mean, factor, threshold, float((far[1] > threshold).mean()), (len(rows), len(checked), len(counted))
    )


def described_items(split: Split, count: int, batch_size: int = 64) -> Tensor | None:
    """Features [N, F] of at most ``count`` items of a split, evenly over all of it."""
    if not len(split):
        return None
    places = torch.linspace(0, len(split) - 1, min(count, len(split))).round().long().unique()
    parts: list[Tensor] = []
    for part in places.split(batch_size):
        found = features(split.batch(part)[0])
        if found is None:
            return None
        parts.append(found)
    return torch.cat(parts) if parts else None


def of_splits(splits: Sequence[Any]) -> Familiarity | None:
    """:func:`familiarity` of train, val and test data, where all of them can be indexed."""
    if len(splits) != 3 or not all(hasattr(split, "batch") and hasattr(split, "__len__") for split in splits):
        return None
    return familiarity(*splits)
