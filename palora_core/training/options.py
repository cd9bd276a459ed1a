"""How long, how fast and how exactly to train."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from palora_core.benchmarks.base import Benchmark
from palora_core.errors import UserError
from palora_core.ranges import Count, CountOrNone, NotNegative, Range, check_ranges
from palora_core.training.parts import part_factors


@dataclass(frozen=True)
class TrainingOptions:
    """How long, how fast and how exactly to train; a benchmark's recipe gives the defaults.

    Attributes:
        epochs: passes over the training split.
        batch_size: items per step.
        optimizer: which one of torch's; weight decay is decoupled in adamw only.
        lr: its learning rate.
        lr_parts: factors on the learning rate of parts of the network, as trunk.features=0.2, separated by commas.
        momentum: of sgd.
        betas: of adam and adamw, the decay rates of the two moments.
        weight_decay: the optimizer's.
        schedule: learning rates over training, step by step; milestones multiplies by lr_factor at lr_milestones.
        lr_milestones: fractions of training after which the learning rate is multiplied by lr_factor.
        lr_factor: see lr_milestones.
        warmup: steps in which the learning rate rises to its full value, below 1 a fraction of training.
        clip_norm: largest norm of all gradients together; longer ones are scaled down. 0 for no limit.
        accumulate: batches of one step; its losses are means over all their items with a valid target.
        ema: decay of a moving average of the weights, which is evaluated and saved in their place; 0 for none.
        seed: of initialisation, order, augmentation and preferences.
        precision: of forward passes; auto is bf16 where the hardware has it, fp16 scales the gradients (GPUs only).
        compile: let torch.compile make the passes faster; the first steps take longer.
        evaluate_every: epochs between fronts on the validation split; 0 for none before the end.
        eval_batch_size: items per forward pass in evaluation.
        front_points: preferences of the validation fronts; 0 for the benchmark's full grid.
        test_points: preferences of the test front; 0 for the benchmark's full grid.
        batch_norm: statistics per preference (calibrated) or the usual running ones.
        calibration_items: training items that statistics per preference are estimated from.
        checkpoint_seconds: seconds between saved states, besides one per epoch.
        samples: test items that travel with the model, half of them those that λ changes most.
        engine: passes of a step one after another or stacked into one; auto stacks small networks on a GPU.
        start_from: a model folder or a plain state_dict file whose weights the network starts with.
        start_partly: start even where that file holds little of the network, or heads under other names.
        sources: what an epoch is where objectives have data sets of their own, a pass over the longest or the shortest.
    """

    epochs: Annotated[int, Range(1, 1_000_000)] = 10
    batch_size: Count = 256
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Annotated[float, Range(0, 10, open_low=True, open_high=True)] = 1e-3
    lr_parts: str = ""
    momentum: Annotated[float, Range(0, 1, open_high=True)] = 0.0
    betas: tuple[float, ...] = (0.9, 0.999)
    weight_decay: Annotated[float, Range(0, 100)] = 0.0
    schedule: Literal["milestones", "cosine", "linear", "constant"] = "milestones"
    lr_milestones: tuple[float, ...] = ()
    lr_factor: Annotated[float, Range(0, 1, open_low=True)] = 0.5
    warmup: NotNegative = 0.0
    clip_norm: NotNegative = 0.0
    accumulate: Annotated[int, Range(1, 10_000)] = 1
    ema: Annotated[float, Range(0, 1, open_high=True)] = 0.0
    seed: Annotated[int, Range(0, 2**63, open_high=True)] = 0
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "fp32"
    compile: bool = False
    evaluate_every: CountOrNone = 1
    eval_batch_size: Count = 256
    front_points: Annotated[int, Range(0, 20_000)] = 0
    test_points: Annotated[int, Range(0, 20_000)] = 0
    batch_norm: Literal["calibrated", "running"] = "calibrated"
    calibration_items: Count = 256
    checkpoint_seconds: NotNegative = 60.0
    samples: Annotated[int, Range(0, 10_000)] = 16
    engine: Literal["auto", "sequential", "stacked"] = "auto"
    start_from: str = ""
    start_partly: bool = False
    sources: Literal["longest", "shortest"] = "longest"

    def __post_init__(self) -> None:
        check_ranges(self)
        part_factors(self.lr_parts)
        if not all(0 <= fraction <= 1 for fraction in self.lr_milestones):
            raise UserError(f"lr_milestones must be fractions of training from 0 to 1, found {self.lr_milestones}.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"betas must be two numbers of at least 0 and below 1, found {self.betas}.")
        if self.warmup > 1 and self.warmup != int(self.warmup):
            raise UserError(f"warmup must be a fraction below 1 or a number of steps, found {self.warmup:g}.")

    def check_together(self) -> None:
        """Refuse what is right alone and changes nothing beside the rest.

        Raises:
            UserError: naming the option.
        """
        idle = "momentum" if self.momentum and self.optimizer != "sgd" else ""
        idle = idle or ("betas" if self.betas != (0.9, 0.999) and self.optimizer == "sgd" else "")
        if idle:
            raise UserError(f"{idle} has no effect with the optimizer {self.optimizer}; leave it out.")

    @staticmethod
    def of(benchmark: Benchmark) -> TrainingOptions:
        """The benchmark's own."""
        names = {field.name for field in dataclasses.fields(TrainingOptions)}
        recipe = dataclasses.asdict(benchmark.recipe)
        return TrainingOptions(**{key: value for key, value in recipe.items() if key in names})
