"""What Census and Adult share: prepared features, two labels, an MLP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from torch import Tensor

from palora_core.batches import Batch
from palora_core.benchmarks.base import Benchmark, Progress
from palora_core.data import ArraySplit, Split, Targets
from palora_core.errors import UserError
from palora_core.inputs import Table
from palora_core.ranges import Range
from palora_core.storage.prepared import Prepared, Rows
from palora_core.tasks import Classification, Task


@dataclass(frozen=True)
class LabelledTable(Benchmark):
    """Base of the tables with labels of two classes.

    Attributes:
        hidden: width of the MLP's hidden layer.
    """

    name: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]
    features: ClassVar[int]
    split_seed: ClassVar[int] = 0

    hidden: Annotated[int, Range(1, 65536)] = 256

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One classification per label."""
        return tuple(Classification(name, 2) for name in self.labels)

    @property
    def input_kind(self) -> Table:
        """Rows of prepared numbers."""
        return Table()

    @property
    def reference(self) -> tuple[float, ...]:
        """Cross-entropy 1 for each label."""
        return (1.0,) * len(self.labels)

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """One hidden layer."""
        return "mlp", {"outputs": self.outputs, "inputs": self.features, "hidden": (self.hidden,)}

    def field(self, label: str) -> str:
        """Prepared array that holds a label."""
        return label

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Split]:
        """A fifth of the training rows is for validation, chosen as scikit-learn's ``train_test_split`` would."""
        prepared = Prepared.open(data, self.name)
        train, test = prepared.fields("train"), prepared.fields("test")
        count = len(train["features"])
        if count < 2:
            raise UserError(f"{self.name} has {count} training rows; at least 2 are needed.")
        order = np.random.RandomState(self.split_seed).permutation(count)
        held = -(-count // 5)
        return {
            "train": self._split({name: rows.take(order[held:]) for name, rows in train.items()}),
            "val": self._split({name: rows.take(order[:held]) for name, rows in train.items()}),
            "test": self._split(test),
        }

    def _split(self, fields: dict[str, Rows]) -> ArraySplit:
        return ArraySplit(fields["features"], {name: fields[self.field(name)] for name in self.labels}, self.convert)

    def convert(self, x: Tensor, targets: Targets) -> Batch:
        """Labels to int64."""
        return x, {name: target.long() for name, target in targets.items()}
