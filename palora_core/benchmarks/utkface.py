"""UTKFace: age, gender and race of a face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from palora_core.benchmarks._faces import Faces
from palora_core.benchmarks.base import Progress, Recipe, benchmarks
from palora_core.data import ArraySplit, Split
from palora_core.storage.prepared import Prepared
from palora_core.tasks import Classification, Regression, Task


@benchmarks.register("utkface")
@dataclass(frozen=True)
class UTKFace(Faces):
    """Split 70/10/20 with seed 42; ages are standardised with mean and deviation of the training split alone.

    The tasks are in their declared order everywhere; the paper's code declares (age, gender, race), but its losses and
    so its preferences are in the order (age, race, gender), and its ages are standardised with the test images too.
    """

    title: ClassVar[str] = "UTKFace"
    summary: ClassVar[str] = "Aligned faces, 64 × 64 pixels: age (in standard deviations), gender, race."
    citation: ClassVar[str] = "Zhang, Song, Qi: Age Progression/Regression by Adversarial Autoencoder, CVPR 2017"
    licence: ClassVar[str] = "Pictures: UTKFace, non-commercial research only. Weights: the same."
    name: ClassVar[str] = "utkface"
    recipe: ClassVar[Recipe] = Recipe(
        epochs=100,
        batch_size=128,
        lr=1e-3,
        eval_batch_size=512,
        evaluate_every=20,
        methods={
            "palora": {"rank": 4, "num_preferences": 6, "temperature": 0.2},
            "padora": {"rank": 4, "num_preferences": 6, "temperature": 0.2},
            "pamal": {"num_preferences": 3, "coefficient": 1, "concentration": 2, "normalise": True},
            "cosmos": {"coefficient": 1},
        },
    )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Age (Huber loss), gender, race."""
        return Regression("age", objective="huber", unit="σ"), Classification("gender", 2), Classification("race", 5)

    @property
    def reference(self) -> tuple[float, ...]:
        """1 for each loss, as in the paper's code."""
        return 1.0, 1.0, 1.0

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Split]:
        """The three splits."""
        fields = Prepared.open(data, self.name).fields("all")
        count = len(fields["image"])
        order = torch.randperm(count, generator=torch.Generator().manual_seed(42)).numpy()
        val = max(1, count // 10)
        train = min(count * 7 // 10, count - val - 1)
        parts = {"train": order[:train], "val": order[train : train + val], "test": order[train + val :]}
        age = fields["age"][:].astype(np.float64)
        mean, deviation = age[parts["train"]].mean(), age[parts["train"]].std()
        standardised = ((age - mean) / (deviation or 1)).astype(np.float32)
        splits: dict[str, Split] = {}
        for name, index in parts.items():
            targets = {"age": standardised[index], **{n: fields[n].take(index) for n in ("gender", "race")}}
            splits[name] = ArraySplit(fields["image"].take(index), targets, self.convert)
        return splits
