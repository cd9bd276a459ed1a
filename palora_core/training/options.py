"""How long, how fast and how exactly to train."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from palora_core.benchmarks.base import Benchmark
from palora_core.errors import UserError


@dataclass(frozen=True)
class TrainingOptions:
    """How long, how fast and how exactly to train; a benchmark's recipe gives the defaults.

    Attributes:
        epochs: passes over the training split.
        batch_size: items per step.
        lr: Adam's learning rate.
        lr_milestones: fractions of training after which the learning rate is multiplied by lr_factor.
        lr_factor: see lr_milestones.
        seed: of initialisation, order, augmentation and preferences.
        precision: of forward passes; auto is bf16 where the hardware has it.
        evaluate_every: epochs between fronts on the validation split; 0 for none before the end.
        eval_batch_size: items per forward pass in evaluation.
        front_points: preferences of the validation fronts; 0 for the benchmark's full grid.
        batch_norm: statistics per preference (calibrated) or the usual running ones.
        calibration_items: training items that statistics per preference are estimated from.
        checkpoint_seconds: seconds between saved states, besides one per epoch.
        samples: test items that travel with the model.
        engine: passes of a step one after another or stacked into one; auto stacks small networks on a GPU.
        start_from: a model folder or a plain state_dict file whose weights the network starts with.
    """

    epochs: int = 10
    batch_size: int = 256
    lr: float = 1e-3
    lr_milestones: tuple[float, ...] = ()
    lr_factor: float = 0.5
    seed: int = 0
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    evaluate_every: int = 1
    eval_batch_size: int = 256
    front_points: int = 0
    batch_norm: Literal["calibrated", "running"] = "calibrated"
    calibration_items: int = 256
    checkpoint_seconds: float = 60.0
    samples: int = 12
    engine: Literal["auto", "sequential", "stacked"] = "auto"
    start_from: str = ""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_batch_size", "calibration_items"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, found {getattr(self, name)}.")
        for name in ("evaluate_every", "front_points", "checkpoint_seconds", "samples", "seed"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must be at least 0, found {getattr(self, name)}.")
        if self.seed >= 2**63:
            raise UserError(f"seed must be below 2^63, found {self.seed}.")
        if not 0 < self.lr < 10:
            raise UserError(f"lr must be between 0 and 10, found {self.lr}.")
        if not 0 < self.lr_factor <= 1 or not all(0 <= fraction <= 1 for fraction in self.lr_milestones):
            raise UserError(
                "lr_factor must be in (0, 1] and lr_milestones fractions of training in [0, 1], found "
                f"{self.lr_factor} and {self.lr_milestones}."
            )

    @staticmethod
    def of(benchmark: Benchmark) -> TrainingOptions:
        """The benchmark's own."""
        names = {field.name for field in dataclasses.fields(TrainingOptions)}
        recipe = dataclasses.asdict(benchmark.recipe)
        return TrainingOptions(**{key: value for key, value in recipe.items() if key in names})
