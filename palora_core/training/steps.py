"""One step of a training: batches, preferences, gradients, and the check that they are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from palora_core import distributed, normalisation
from palora_core.balancing.base import Step
from palora_core.batches import COMPILERS
from palora_core.errors import UserError
from palora_core.training.losses import batch_weights

if TYPE_CHECKING:
    from palora_core.training.losses import Portions
    from palora_core.training.trainer import Trainer


class Steps:
    """Takes a trainer's steps.

    Args:
        trainer: whose model, data and optimizer they are.

    Raises:
        UserError: fp16, and a balancer that looks at gradients.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        if trainer.update.scaler is not None and not trainer.balancer.scalar:
            raise UserError(
                f"precision fp16 scales gradients, and the balancer {type(trainer.balancer).__name__} looks at them "
                "task by task; use precision bf16, or a balancer that weighs losses."
            )

    def take(self) -> tuple[Tensor, Tensor]:
        """Train on the coming step; its losses [M, T] without graph, and its preferences [M, T]."""
        trainer = self.trainer
        batches = trainer.feed.training(trainer.step)
        random = trainer.feed.generator("preferences", trainer.step)
        method, tasks = trainer.method, len(trainer.objectives)
        preferences = method.sampler.sample(tasks, method.num_preferences, trainer.tau, random).to(trainer.device)
        trainer.model.train()
        trainer.model.progress(trainer.tau)
        trainer.update.begin(trainer.step)
        weights = batch_weights(trainer.objectives, batches)
        losses, last = self._gradients(batches, preferences, weights)
        distributed.average_(self._shared_by_ranks())
        norm = trainer.update.measure()
        self._check(losses, norm, self._unseen(losses, preferences))
        trainer.update.apply(norm)
        self._after(batches[-1], last, weights[-1])
        trainer.step += 1
        return losses, preferences

    def _gradients(
        self, batches: Sequence[Portions], preferences: Tensor, weights: Sequence[Tensor | None]
    ) -> tuple[Tensor, Step]:
        """Add up the gradients of all batches; their mean losses [M, T] and the last pass."""
        trainer, rows = self.trainer, []
        for portions, weight in zip(batches, weights):
            try:
                found, last = trainer.engine(
                    portions,
                    preferences,
                    lambda: trainer.feed.held_out(trainer.step),
                    trainer.update.lr,
                    trainer.update.scale,
                    weight,
                )
            except (FloatingPointError, torch.linalg.LinAlgError) as error:  # a solver was given NaN
                values = trainer.engine.losses_at(portions, preferences[-1])[None]
                raise self._diverged("The gradients", values) from error
            except Exception as error:
                if not trainer.options.compile or not type(error).__module__.startswith(COMPILERS):
                    raise
                reason = str(error).partition("\n")[0]
                raise UserError(f"The network does not compile here ({reason}); leave out compile.") from error
            rows.append(found)
        return rows[0] if len(rows) == 1 else torch.stack(rows).mean(0), last

    def _after(self, portions: Portions, last: Step, weights: Tensor | None) -> None:
        """Let the balancer look at what the step has changed."""
        trainer = self.trainer
        try:
            trainer.balancer.after_step(last, lambda: trainer.engine.losses_at(portions, last.preference, weights))
        except FloatingPointError as error:
            values = trainer.engine.losses_at(portions, last.preference)[None]
            raise self._diverged("The losses", values) from error

    def _shared_by_ranks(self) -> list[Tensor]:
        """What the ranks average after each step's passes: gradients, and BatchNorm's running statistics."""
        layers = normalisation.batch_norms(self.trainer.model)
        statistics = [layer._buffers[name] for layer in layers for name in ("running_mean", "running_var")]
        return [*self.trainer.update.gradients(), *(tensor for tensor in statistics if tensor is not None)]

    def _unseen(self, losses: Tensor, preferences: Tensor) -> Tensor:
        """Which losses [M, T] are NaN since nothing was to be learnt from them there."""
        if not self.trainer.balancer.sparse or len(self.trainer.feed.sources) == 1:
            return torch.zeros_like(losses, dtype=torch.bool)
        return losses.isnan() & (preferences == 0)

    def _check(self, losses: Tensor, norm: Tensor, unseen: Tensor) -> None:
        """Refuse a step with NaN in it, or with gradients whose squares float32 has no numbers for.

        Adam keeps those squares; an infinite one would hold its parameter for good, and nothing would say so.
        """
        fine = torch.isfinite(losses) | unseen
        if fine.all() & torch.isfinite(norm):  # one wait for the device
            return
        objectives = self.trainer.objectives
        bad = [one.name for one, column in zip(objectives, fine.t()) if not column.all()]
        if not bad and self.trainer.update.may_overflow:
            return  # fp16: the step is left out, and the next one scaled less
        raise self._diverged(f"The loss of {' and '.join(bad)}" if bad else "The gradients", losses, bool(bad))

    def _diverged(self, what: str, losses: Tensor, bad: bool = False) -> UserError:
        if not self.trainer.step and bad:
            return UserError(
                f"{what} is NaN or infinite at the first step, before anything was learnt; look at what is computed of "
                "the outputs and the batch there (a logarithm, a root or a division)."
            )
        means = zip(self.trainer.objectives, losses.nanmean(0).tolist())
        return UserError(
            f"{what} became NaN or infinite at step {self.trainer.step + 1}; the last good state is kept. The losses "
            f"were {', '.join(f'{task.name} {mean:.4g}' for task, mean in means)}: scale down one that is out of "
            "proportion, lower --set lr=…, or use --set precision=fp32, and start again."
        )
