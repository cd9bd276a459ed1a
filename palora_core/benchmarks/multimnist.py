"""MultiMNIST: two overlapping digits in one image, both to be named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from palora_core.benchmarks._mnist import Digits, bundled, overlay, read_digits
from palora_core.benchmarks.base import Benchmark, Progress, Recipe, benchmarks
from palora_core.data import ArraySplit, Split
from palora_core.inputs import Grey
from palora_core.networks.lenet import UNITS
from palora_core.problem import Problem
from palora_core.ranges import CountOrNone, Range, check_ranges
from palora_core.tasks import Classification, Task

EDGE, FIGURE = 4, 20  # pixels around a digit of MNIST, and its own side
GUESS = 2.3  # cross-entropy of ten classes that are equally likely


FEW_TEST = 4_000  # images, of the digits that travel with the project


@benchmarks.register("multimnist")
@dataclass(frozen=True)
class MultiMNIST(Benchmark):
    """Two digits on a 36 × 36 canvas, one at the top left, one at the bottom right, resized to 28 × 28.

    With the full MNIST below the data root it has the paper's sizes (50,000 / 10,000 / 10,000 images); otherwise it is
    made from the subset that travels with the project.

    Attributes:
        train_images: training images; 0 for 50,000 from the full MNIST, 20,000 from the subset.
        test_images: validation and test images each; 0 for 10,000 from the full MNIST, 4,000 from the subset.
        data_seed: of the choice of digits; independent of the training seed.
        norm_layers: a BatchNorm after each convolution (not in the paper).
        shared_units: of the layer that both digits are read from; the paper's network has 50. With a few, naming one
            digit costs the other.
    """

    title: ClassVar[str] = "MultiMNIST"
    summary: ClassVar[str] = "Pairs of overlapping MNIST digits, generated from a fixed seed."
    citation: ClassVar[str] = (
        "Sabour, Frosst, Hinton: Dynamic Routing Between Capsules, NeurIPS 2017; LeCun et al.: MNIST"
    )
    licence: ClassVar[str] = "Digits: MNIST, CC BY-SA 3.0. Weights: MIT."
    offsets: ClassVar[dict[str, tuple[int, int]]] = {"top_left": (0, 0), "bottom_right": (6, 6)}
    canvas: ClassVar[int] = 36
    digits: ClassVar[str] = "MNIST"
    recipe: ClassVar[Recipe] = Recipe(
        epochs=10,
        batch_size=256,
        lr=1e-3,
        eval_batch_size=512,
        methods={
            "palora": {"rank": 1, "alpha": 10, "temperature": 0.2},
            "padora": {"rank": 1, "alpha": 1, "temperature": 0.2},
        },
    )

    train_images: Annotated[int, Range(0, 10_000_000)] = 0
    test_images: Annotated[int, Range(0, 10_000_000)] = 0
    data_seed: CountOrNone = 0
    norm_layers: bool = False
    shared_units: Annotated[int, Range(1, 1000)] = UNITS

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Which digit is in each place."""
        return tuple(Classification(name, 10) for name in self.offsets)

    @property
    def input_kind(self) -> Grey:
        """Grey, white on black, 28 × 28; a picture of any shape is squeezed."""
        side = self.canvas
        marks = tuple(
            ((x + EDGE) / side, (y + EDGE) / side, FIGURE / side, FIGURE / side) for y, x in self.offsets.values()
        )
        return Grey((28, 28), squeezed=True, dark=True, marks=marks)

    @property
    def reference(self) -> tuple[float, ...]:
        """Cross-entropy 1 for each digit; where they compete for a few units, that of a guess."""
        return (1.0 if self.shared_units >= UNITS else GUESS,) * len(self.offsets)

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """LeNet."""
        return "lenet", {"outputs": self.outputs, "batch_norm": self.norm_layers, "shared": self.shared_units}

    def problem(self, data: Path = Path(), progress: Progress | None = None) -> Problem:
        """As of any benchmark; the title tells of a bottleneck."""
        made = super().problem(data, progress)
        if self.shared_units < UNITS:
            units = f"{self.shared_units} shared unit" + "s" * (self.shared_units > 1)
            made.about = replace(made.about, title=f"{self.title}, {units}")
        return made

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Split]:
        """Generate all splits (a second or two)."""
        train, test = (read_digits(data, self.digits, split) for split in ("train", "test"))
        full = len(train.images) >= 60_000
        train_count = self.train_images or (50_000 if full else 20_000)
        test_count = self.test_images or (10_000 if full else FEW_TEST)
        # Validation uses training digits in other pairs, as the random split of the 60,000 pairs did.
        whole = self._split(train, train_count + test_count, 0)
        parts = [self._part(whole, slice(0, train_count)), self._part(whole, slice(train_count, None))]
        return {"train": parts[0], "val": parts[1], "test": self._split(test, test_count, 1)}

    def at_hand(self, count: int | None = None) -> Split | None:
        """Pairs of the digits that travel with the project, as many as are tested on with these digits alone."""
        digits, whole = bundled(self.digits, "test"), self.test_images or FEW_TEST
        return None if digits is None else self._split(digits, whole if count is None else min(count, whole), 1)

    def _split(self, digits: Digits, count: int, stream: int) -> ArraySplit:
        seed = self.data_seed * 2 + stream
        images, labels = overlay(digits, list(self.offsets.values()), self.canvas, count, seed)
        return ArraySplit(images, {name: labels[:, i] for i, name in enumerate(self.offsets)}, self.convert)

    def _part(self, split: ArraySplit, part: slice) -> ArraySplit:
        return ArraySplit(split.inputs[part], {n: t[part] for n, t in split.targets.items()}, self.convert)
