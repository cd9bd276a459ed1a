"""What a training says of itself: events in the run folder, calls of callbacks, the progress bar."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from torch import Tensor

from palora_core.evaluation.front import Front
from palora_core.training.callbacks import Callbacks
from palora_core.training.feed import LOADER

if TYPE_CHECKING:
    from palora_core.training.trainer import Trainer

REPORT_SECONDS = 0.5  # between two noted steps; faster ones would fill the disk and no eye could follow


class Reporter:
    """Tells the run folder and the callbacks of one trainer.

    Args:
        trainer: whose steps are told.
        callbacks: who hears of every step, front and epoch.
    """

    def __init__(self, trainer: Trainer, callbacks: Callbacks) -> None:
        self.trainer, self.callbacks = trainer, callbacks
        self._reported, self._first = 0.0, 0

    def start(self, resumed: bool) -> None:
        """Training begins, or goes on."""
        trainer = self.trainer
        self._reported, self._first = 0.0, trainer.step
        values = {
            "step": trainer.step,
            "total_steps": trainer.total_steps,
            "steps_per_epoch": trainer.steps_per_epoch,
            "epochs": trainer.options.epochs,
            "tasks": [task.name for task in trainer.objectives],
            "resumed": resumed,
            "engine": trainer.engine_chosen,
            "order": trainer.feed.order,
            **({"origin": trainer.origin["sentence"]} if trainer.origin else {}),
        }
        trainer.run.event("start", **values)
        if resumed and trainer.step and trainer.feed.order == LOADER:
            self.warn(
                "The order of the training items is the data loader's own, and it begins anew: this run goes on, but "
                "not to the bit like one without a stop. Give the data set instead of the loader for that."
            )
        self.callbacks.call("on_start", trainer, values)

    def warn(self, message: str) -> None:
        """Note something that a person should know."""
        self.trainer.run.event("warning", step=self.trainer.step, message=message)

    def step(self, losses: Tensor, preferences: Tensor) -> None:
        """A step was done, with losses [M, T] at preferences [M, T]."""
        trainer = self.trainer
        trainer.progress("training", trainer.step, trainer.total_steps)
        now = time.monotonic()
        due = trainer.step == trainer.total_steps or now - self._reported >= REPORT_SECONDS
        heard = self.callbacks.hear("on_step")
        if not due and not heard:
            return
        values = {
            "step": trainer.step,
            "epoch": (trainer.step - 1) // trainer.steps_per_epoch + 1,
            "tau": round(trainer.tau_at(trainer.step - 1), 4),  # the one that these preferences were chosen at
            "losses": [_number(round(value, 6)) for value in losses.nanmean(0).tolist()],
            "preferences": [[round(value, 4) for value in row] for row in preferences.tolist()],
        }
        if due:
            self._reported = now
            left = (trainer.total_steps - trainer.step) * (now - trainer.began) / (trainer.step - self._first)
            trainer.run.event("step", **values, seconds_left=round(left, 1))
        if heard:
            names = [one.name for one in trainer.objectives]
            told = {**values, "lr": trainer.update.lr, "losses": dict(zip(names, losses.nanmean(0).tolist()))}
            self.callbacks.call("on_step", trainer, told)

    def epoch(self, heard: Tensor | None) -> None:
        """An epoch was trained; ``heard`` [T] says whose loss was ever not 0, None if not all of it was seen."""
        trainer = self.trainer
        seen = heard.tolist() if heard is not None else [True] * len(trainer.objectives)
        silent = [task.name for task, found in zip(trainer.objectives, seen) if not found]
        if silent:
            self.warn(
                f"The loss of {' and '.join(silent)} was exactly 0 in the whole epoch: nothing was learnt from it. "
                "Check that the training split has targets for it, and which ones are ignored."
            )
        self.callbacks.call("on_epoch", trainer, {"step": trainer.step, "epoch": trainer.epoch})

    def front(self, front: Front, split: str) -> dict[str, Any]:
        """A front was evaluated; returns its summary."""
        summary, trainer = front.summary(), self.trainer
        trainer.run.event(
            "front",
            step=trainer.step,
            epoch=trainer.epoch,
            split=split,
            preferences=front.preferences.round(4).tolist(),
            objectives=front.objectives.tolist(),
            metrics={name: values.tolist() for name, values in front.metrics.items()},
            hypervolume=summary["hypervolume"],
            spearman=[_number(value) for value in summary["spearman"]],
        )
        self.tell_front(front, split)
        return summary

    def tell_front(self, front: Front, split: str) -> None:
        """Let the callbacks hear of a front."""
        trainer = self.trainer
        told = {"step": trainer.step, "epoch": trainer.epoch, "split": split, "front": front}
        if self.callbacks.hear("on_front"):
            self.callbacks.call("on_front", trainer, {**told, "hypervolume": front.hypervolume()})

    def end(self, reason: str) -> None:
        """Training ended: ``"finished"`` or ``"stopped"``."""
        self.callbacks.call("on_end", self.trainer, {"step": self.trainer.step, "reason": reason})
        self.trainer.run.event("end", step=self.trainer.step, reason=reason)

    def failed(self, message: str) -> None:
        """Training ended with an error."""
        self.trainer.run.event("error", step=self.trainer.step, message=message)
        self.callbacks.call("on_end", self.trainer, {"step": self.trainer.step, "reason": "failed"})


def _number(value: float) -> float | None:
    return None if value != value else value
