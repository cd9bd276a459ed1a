"""SARCOS: seven joint torques of a robot arm from positions, velocities and accelerations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from palora_core.benchmarks.base import Benchmark, Progress, Recipe, benchmarks
from palora_core.data import ArraySplit, Split
from palora_core.errors import UserError
from palora_core.inputs import Table
from palora_core.preparation.sarcos import INPUTS, OFFICIAL, TORQUES
from palora_core.storage.prepared import Prepared
from palora_core.tasks import Regression, Task

VALIDATION = 4_448
QUANTITIES = ("position", "velocity", "acceleration")
COLUMNS = tuple(f"{what}_{joint + 1}" for what in QUANTITIES for joint in range(TORQUES))
NAMES = tuple(f"torque_{joint + 1}" for joint in range(TORQUES))


@benchmarks.register("sarcos")
@dataclass(frozen=True)
class Sarcos(Benchmark):
    """The first 4,448 of 44,484 training rows are for validation; torques are divided by a quantile, inputs are raw.

    The scale of each torque is the 0.9 quantile of the training rows that remain. Fronts have 71 points: 7 corners, the
    centre, 21 mid-points of edges and 42 preferences drawn uniformly with a fixed seed.
    """

    title: ClassVar[str] = "SARCOS"
    summary: ClassVar[str] = "Inverse dynamics of a seven-joint robot arm: 21 inputs, 7 torques (scaled)."
    citation: ClassVar[str] = "Vijayakumar, Schaal: LWPR, ICML 2000; data of Rasmussen, Williams: GPML, 2006"
    licence: ClassVar[str] = "Rows: published for research without a licence text. Weights: MIT."
    limits: ClassVar[str] = (
        "For research and teaching. The official test rows come from the trajectories of the training rows, so test "
        "errors say little about new movements."
    )
    recipe: ClassVar[Recipe] = Recipe(
        epochs=100,
        batch_size=512,
        lr=1e-4,
        eval_batch_size=512,
        evaluate_every=10,
        methods={
            "palora": {"rank": 4, "num_preferences": 8, "sampler": "annealed_dirichlet"},
            "padora": {"rank": 4, "num_preferences": 8, "sampler": "annealed_dirichlet"},
        },
    )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One regression per torque."""
        return tuple(Regression(name, objective="mse") for name in NAMES)

    @property
    def input_kind(self) -> Table:
        """Positions, velocities and accelerations of the joints, as they are."""
        return Table(COLUMNS)

    @property
    def reference(self) -> tuple[float, ...]:
        """Mean squared errors [1, 5, 1, 1, 10, 10, 1], as in the paper's code."""
        return 1.0, 5.0, 1.0, 1.0, 10.0, 10.0, 1.0

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """Three hidden layers of 256."""
        return "mlp", {"outputs": self.outputs, "inputs": INPUTS, "hidden": (256, 256, 256)}

    def load(self, data: Path, progress: Progress | None = None) -> dict[str, Split]:
        """All rows in memory (5 MB)."""
        prepared = Prepared.open(data, "sarcos")
        parts = {part: {name: rows[:] for name, rows in prepared.fields(part).items()} for part in ("train", "test")}
        rows = parts["train"]
        count = len(rows["inputs"])
        held = min(count - 1, max(1, round(count * VALIDATION / OFFICIAL["train"])))
        scale = np.quantile(rows["torques"][held:], 0.9, axis=0)
        if not (scale != 0).all():
            joint = int(np.flatnonzero(scale == 0)[0]) + 1
            raise UserError(f"The 0.9 quantile of torque {joint} in {prepared.folder} is 0, so it cannot be scaled.")
        # The sign of a quantile would turn a torque round; only its size is wanted.
        wanted = np.abs(scale).astype(np.float32)
        return {
            "train": _split(rows, slice(held, None), wanted),
            "val": _split(rows, slice(0, held), wanted),
            "test": _split(parts["test"], slice(None), wanted),
        }


def _split(rows: dict[str, np.ndarray], part: slice, scale: np.ndarray) -> ArraySplit:
    torques = rows["torques"][part] / scale
    return ArraySplit(rows["inputs"][part], {name: torques[:, joint] for joint, name in enumerate(NAMES)})
