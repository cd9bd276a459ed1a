"""Spoken digits: what is said and who says it, from a second of sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from palora_core.batches import Batch
from palora_core.benchmarks.base import Benchmark, Progress, Recipe, benchmarks
from palora_core.data import ArraySplit, Split, Targets
from palora_core.errors import UserError
from palora_core.inputs import Audio
from palora_core.preparation.spoken_digits import LENGTH, RATE
from palora_core.ranges import Range, check_ranges
from palora_core.storage.prepared import Prepared
from palora_core.tasks import Classification, Task

TEST, VALIDATION = 5, 5  # recordings of a digit by a speaker: index 0 to 4 are the official test
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
LARGEST = 32768  # of 16 bits


@benchmarks.register("spoken_digits")
@dataclass(frozen=True)
class SpokenDigits(Benchmark):
    """Free Spoken Digit Dataset: ten digits by six speakers, 50 times each, split by index as its authors do.

    Attributes:
        shared_units: of the layer that both answers are read from; with three, naming the digit costs the speaker.
        held_out: a speaker whose recordings are the test, and none of the training; "" for the official split. Who
            speaks cannot be asked of them then.
    """

    title: ClassVar[str] = "Spoken digits"
    summary: ClassVar[str] = "3,000 recordings of one spoken digit each by six speakers: what is said, and who says it."
    citation: ClassVar[str] = "Jackson et al.: Free Spoken Digit Dataset v1.0.8, 2018"
    licence: ClassVar[str] = "Recordings: CC BY-SA 4.0 (not included). Weights: MIT."
    limits: ClassVar[str] = (
        "For research and teaching: six speakers in quiet rooms, four of whom are not native speakers of English. It "
        "knows no other speakers, and no decision about a person may rest on it."
    )
    recipe: ClassVar[Recipe] = Recipe(
        epochs=15,
        batch_size=64,
        lr=1e-3,
        eval_batch_size=150,
        lr_milestones=(0.6, 0.85),
        evaluate_every=0,
        methods={
            "palora": {"rank": 4, "alpha": 8, "num_preferences": 3, "temperature": 0.2},
            "padora": {"rank": 4, "alpha": 4, "num_preferences": 3, "temperature": 0.2},
            "pamal": {"num_preferences": 3},
        },
    )

    shared_units: Annotated[int, Range(1, 1000)] = 3
    held_out: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.held_out and self.held_out not in SPEAKERS:
            raise UserError(f"held_out is {self.held_out[:40]!r}; expected one of {', '.join(SPEAKERS)}, or nothing.")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The digit and the speaker."""
        return Classification("digit", 10), Classification("speaker", len(SPEAKERS), classes=SPEAKERS)

    @property
    def input_kind(self) -> Audio:
        """A second of sound at 8 kHz."""
        return Audio(RATE, LENGTH)

    @property
    def reference(self) -> tuple[float, ...]:
        """Cross-entropies of a guess."""
        return 2.3, 1.8

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """Three convolutions on the log-mel spectrogram."""
        return "spoken", {"outputs": self.outputs, "rate": RATE, "shared": self.shared_units}

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Split]:
        """All recordings in memory (48 MB)."""
        prepared = Prepared.open(data, "spoken_digits")
        if tuple(prepared.manifest.get("speakers", ())) != SPEAKERS:
            raise UserError(
                f"{prepared.folder} has other speakers than {', '.join(SPEAKERS)}; prepare the recordings of version "
                "1.0.8."
            )
        fields = {name: rows[:] for name, rows in prepared.fields("all").items()}
        index, apart = fields["index"], fields["speaker"] == _number(self.held_out)
        test = apart if self.held_out else index < TEST
        val = ~test & ((index < VALIDATION) if self.held_out else (index < TEST + VALIDATION))
        rows = {"train": ~test & ~val, "val": val, "test": test}
        return {name: self._split(fields, np.flatnonzero(chosen), name) for name, chosen in rows.items()}

    def _split(self, fields: dict[str, np.ndarray], rows: np.ndarray, name: str) -> ArraySplit:
        if not len(rows):
            raise UserError(f"There are no recordings for {name}; prepare all of them.")
        # Neighbours are of one speaker and digit: samples that travel, and statistics, are of them all.
        rows = np.random.default_rng(0).permutation(rows)
        speaker = fields["speaker"][rows].copy()
        if name == "test" and self.held_out:
            speaker[:] = -1
        return ArraySplit(fields["sound"][rows], {"digit": fields["digit"][rows], "speaker": speaker}, self.convert)

    def convert(self, x: Tensor, targets: Targets) -> Batch:
        """16 bits to [−1, 1], [B, 1, N]; classes to int64."""
        return x.float().div(LARGEST).unsqueeze(1), {name: target.long() for name, target in targets.items()}

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Begin up to a tenth of a second later, louder or quieter, with some noise."""
        x, targets = batch
        late = torch.randint(0, RATE // 10, (len(x),), generator=generator).tolist()
        moved = torch.stack([torch.roll(one, shift, -1) for one, shift in zip(x, late)])
        loud = (0.5 * torch.randn(len(x), 1, 1, generator=generator)).exp()
        noise = 0.004 * torch.rand(len(x), 1, 1, generator=generator) * torch.randn(x.shape, generator=generator)
        return moved * loud + noise, targets


def _number(speaker: str) -> int:
    return SPEAKERS.index(speaker) if speaker in SPEAKERS else -1
