"""Fronts of a training: on the validation split after epochs; on the test split, with the model's files, at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from palora_core import checkpoint, distributed, normalisation
from palora_core.data import Split, indexable
from palora_core.evaluation import familiarity
from palora_core.evaluation.effects import by_item
from palora_core.evaluation.evaluate import evaluate, live_network
from palora_core.evaluation.front import Front
from palora_core.machine import autocast
from palora_core.methods.base import methods
from palora_core.simplex import evaluation_preferences
from palora_core.sources import in_turn
from palora_core.storage.examples import described
from palora_core.storage.samples import save_samples
from palora_core.training.card import model_card
from palora_core.training.stopping import StoppedInFront

if TYPE_CHECKING:
    from palora_core.training.trainer import Trainer


class Fronts:
    """Evaluates the model of a trainer and keeps what is best.

    Args:
        trainer: whose model it is.

    Attributes:
        best: [hypervolume, −mean loss] of the best validation front so far.
        reference: hypervolume reference [T]; proposed from the first front where the problem has none.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.best: list[float] | None = None
        given = trainer.problem.reference
        self.reference: tuple[float, ...] | None = tuple(given) if given is not None else None

    def calibrate(self) -> None:
        """Estimate BatchNorm statistics per preference from the first training items, where that is wanted."""
        trainer = self.trainer
        if trainer.options.batch_norm == "running":
            return
        with autocast(trainer.device, trainer.dtype):
            normalisation.calibrate(trainer.model, trainer.feed.calibration, trainer.caller)
        distributed.broadcast_(trainer.model.buffers())

    def of(self, split: str, points: int | None = None) -> Front:
        """The front of the model, as its weights are now, on a split."""
        trainer = self.trainer
        tasks, problem, options = len(trainer.objectives), trainer.problem, trainer.options
        grid = evaluation_preferences(tasks, points) if points and trainer.model.controllable else None
        about = {
            "benchmark": problem.name,
            "method": methods.name_of(trainer.method),
            "title": trainer.method.title,
            "split": problem.called(split),
            "items": problem.items(split),
            "seed": options.seed,
            "step": trainer.step,
            "batch_norm": options.batch_norm,
        }
        front = evaluate(
            trainer.model.eval(),
            problem.sources[split],
            trainer.objectives,
            self.reference,
            grid,
            options.eval_batch_size,
            trainer.dtype,
            progress=lambda done, total: self._progress(split, done, total),
            about=about,
            passing=problem.passing,
        )
        self.reference = front.reference
        return front

    def _progress(self, split: str, done: int, total: int) -> None:
        self.trainer.progress(f"{split} front", done, total)
        if done < total and self.trainer.step and self.trainer.stopping.wanted():
            raise StoppedInFront

    def begin(self) -> None:
        """The front before the first step, where training starts with somebody's weights."""
        front = self.of("val", self.trainer.options.front_points or None)
        self.trainer.reporter.front(front, "val")

    def end_epoch(self) -> None:
        """Front on the validation split and the best weights so far; a function of the saved state alone."""
        trainer, every = self.trainer, self.trainer.options.evaluate_every
        last = trainer.epoch == trainer.options.epochs
        if not last and (every <= 0 or trainer.epoch % every):
            return
        with trainer.update.averaged():
            self.calibrate()
            front = self.of("val", trainer.options.front_points or None)
            summary = trainer.reporter.front(front, "val")
            if self._is_best(front, summary) and distributed.is_main():
                self._save(front, "best.safetensors")

    def _is_best(self, front: Front, summary: dict[str, Any]) -> bool:
        known = front.objectives[np.isfinite(front.objectives)]  # a task without labels in the split has no loss there
        score = [summary["hypervolume"], -float(known.mean() if known.size else 0)]
        if self.best is not None and score <= self.best:
            return False
        self.best = score
        return True

    def finish(self) -> None:
        """The test front, and the files of the finished model."""
        trainer = self.trainer
        with trainer.update.averaged():
            self.calibrate()
            front = self.of("test", trainer.options.test_points or None)
            trainer.reporter.tell_front(front, "test")
            test = indexable(in_turn(trainer.problem.sources["test"]))
            changed = self._changed(test)
            if not distributed.is_main():
                return
            folder = trainer.run.folder
            front.save(folder / "front.json")
            save_samples(folder / "samples.npz", test, trainer.options.samples, changed)
            known = familiarity.of_splits([in_turn(trainer.problem.sources[name]) for name in ("train", "val", "test")])
            if known is not None:
                known.save(folder / familiarity.FILE)
            self._save(front)

    def _save(self, front: Front, weights: str = checkpoint.WEIGHTS) -> None:
        """Card and weights; adapters alone where the rest can be had again."""
        trainer = self.trainer
        alone = checkpoint.rests_on_base(trainer.model)
        checkpoint.save(trainer.run.folder, trainer.model, self.card(front), weights, adapters_only=alone)

    def _changed(self, split: Split) -> Tensor | None:
        """How much λ changes the items of a split, of a network that is steered by λ."""
        trainer, problem = self.trainer, self.trainer.problem
        if not trainer.model.controllable:
            return None
        live = live_network(trainer.model, problem.sources["test"], trainer.dtype, problem.passing)
        return by_item(live, split, trainer.objectives, trainer.options.eval_batch_size)

    def card(self, front: Front) -> dict[str, Any]:
        """The model card of the weights as they are now."""
        trainer = self.trainer
        progress = {
            "steps": trainer.step,
            "seconds": round(trainer.elapsed),
            "train_items": trainer.problem.items("train"),
            "finished": trainer.step >= trainer.total_steps,
            "order": trainer.feed.order,
        }
        parts = trainer.problem, trainer.method, trainer.options, trainer.live, trainer.model, trainer.base_parameters
        first = indexable(in_turn(trainer.problem.sources["test"])).batch(torch.arange(1))[0]
        return model_card(*parts, progress, front, trainer.origin, described(first))
