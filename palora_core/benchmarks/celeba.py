"""CelebA: 40 attributes of a face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from palora_core.batches import Batch
from palora_core.benchmarks._faces import Faces
from palora_core.benchmarks.base import Progress, Recipe, benchmarks
from palora_core.data import ArraySplit, Split, Targets
from palora_core.preparation.celeba import ATTRIBUTES
from palora_core.storage.prepared import Prepared
from palora_core.tasks import Classification, Task

NAMES = tuple(name.lower() for name in ATTRIBUTES)


@benchmarks.register("celeba")
@dataclass(frozen=True)
class CelebA(Faces):
    """The official partition, 162,770 / 19,867 / 19,962 pictures, and 40 tasks of two classes.

    Fronts have 104 points: 40 corners, the centre, 32 mid-points of edges and 31 preferences drawn uniformly.
    """

    title: ClassVar[str] = "CelebA"
    summary: ClassVar[str] = "Aligned faces of celebrities, 64 × 64 pixels: 40 binary attributes."
    citation: ClassVar[str] = "Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015"
    licence: ClassVar[str] = "Pictures: CelebA, non-commercial research only. Weights: the same."
    name: ClassVar[str] = "celeba"
    recipe: ClassVar[Recipe] = Recipe(
        epochs=100,
        batch_size=256,
        lr=1e-3,
        eval_batch_size=512,
        evaluate_every=20,
        methods={
            "palora": {"rank": 1, "num_preferences": 4, "sampler": "annealed_dirichlet"},
            "padora": {"rank": 1, "alpha": 1, "num_preferences": 4, "sampler": "annealed_dirichlet"},
        },
    )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One per attribute, in the order of the release."""
        return tuple(Classification(name, 2) for name in NAMES)

    @property
    def reference(self) -> tuple[float, ...]:
        """Cross-entropy 1 for each attribute."""
        return (1.0,) * len(NAMES)

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Split]:
        """The official partition."""
        prepared = Prepared.open(data, self.name)
        splits: dict[str, Split] = {}
        for part in ("train", "val", "test"):
            fields = prepared.fields(part)
            splits[part] = ArraySplit(fields["image"], {"attributes": fields["attributes"]}, self.convert)
        return splits

    def convert(self, x: Tensor, targets: Targets) -> Batch:
        """Pictures as for all faces; the 40 columns of attributes as 40 targets."""
        pictures, _ = super().convert(x, {})
        return pictures, dict(zip(NAMES, targets["attributes"].long().unbind(1)))
