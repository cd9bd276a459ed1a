"""The saved state of a training: everything that an exact resume needs, in one sealed file."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from palora_core import checkpoint, distributed
from palora_core.errors import UserError
from palora_core.storage.writing import is_sealed, seal, write_atomically

if TYPE_CHECKING:
    from palora_core.training.trainer import Trainer


class SavedState:
    """``state.pt`` of a run.

    Args:
        trainer: whose state it is.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.saved = time.monotonic()

    @property
    def path(self) -> Path:
        """The file."""
        return self.trainer.run.folder / "state.pt"

    def due(self) -> bool:
        """Whether the last one is old."""
        return time.monotonic() - self.saved > self.trainer.options.checkpoint_seconds

    def save(self) -> None:
        """Write the state, atomically; never one with NaN in it."""
        trainer = self.trainer
        if any(not torch.isfinite(parameter).all() for parameter in trainer.model.parameters()):
            raise UserError(
                f"The weights became NaN or infinite at step {trainer.step}; the last good state is kept. Lower "
                "--set lr=…, or use --set precision=fp32, and start again."
            )
        state = {
            "step": trainer.step,
            "steps_per_epoch": trainer.steps_per_epoch,
            "seconds": trainer.elapsed,
            "best": trainer.fronts.best,
            "origin": trainer.origin,
            "reference": trainer.fronts.reference,
            "model": self._without_base(),
            "base": self._base,
            "balancer": trainer.balancer.state_dict(),
            "rng": torch.get_rng_state(),
            **trainer.update.state_dict(),
        }
        if trainer.device.type == "cuda":
            state["device_rng"] = torch.cuda.get_rng_state(trainer.device)
        if distributed.is_main():
            write_atomically(self.path, lambda path: _save_sealed(state, path))
        self.saved = time.monotonic()

    @cached_property
    def _base(self) -> dict[str, str]:
        """Fingerprints of a base that its factory gives again, so that the state can do without it; {} where not."""
        model = self.trainer.model
        if not checkpoint.rests_on_base(model):
            return {}
        state = checkpoint.storable(model.state_dict())
        return {name: checkpoint.fingerprint(state[name]) for name in checkpoint.base_names(model)}

    def _without_base(self) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = self.trainer.model.state_dict()
        return {name: tensor for name, tensor in state.items() if name not in self._base}

    def load(self) -> None:
        """Continue from the file; from the beginning where the run was killed before there was one.

        Raises:
            UserError: it is damaged, or of another run, or the training data have become more or fewer.
        """
        if not self.path.exists():
            return
        if not is_sealed(self.path):
            raise UserError(
                f"{self.path} is damaged or belongs to another run or version: its content is not what its hash says. "
                "Start a new run instead, with --set start_from=… from the weights of this one if you like."
            )
        state = self._read_by(lambda: torch.load(self.path, map_location=self.trainer.device, weights_only=True))
        self._check_length(state.get("steps_per_epoch", self.trainer.steps_per_epoch))
        if state.get("base", {}) != self._base:
            raise UserError(
                f"The run in {self.trainer.run.folder} was begun on another base network, whose hashes its state has; "
                "give it the same one, or start another run."
            )
        self._read_by(lambda: self._restore(state))

    def _read_by(self, reading: Callable[[], Any]) -> Any:
        try:
            return reading()
        except Exception as error:  # torch reports damage in many ways
            raise UserError(
                f"{self.path} is damaged or belongs to another run ({type(error).__name__}); start a new run instead."
            ) from None

    def _check_length(self, steps: int) -> None:
        if steps != self.trainer.steps_per_epoch:
            raise UserError(
                f"The run in {self.trainer.run.folder} was begun with {steps} steps in an epoch, and with the training "
                f"data as they are there are {self.trainer.steps_per_epoch}; give it the same, or start another run."
            )

    def _restore(self, state: dict[str, Any]) -> None:
        trainer = self.trainer
        base = trainer.model.state_dict() if self._base else {}
        checkpoint.load_weights(trainer.model, {**base, **state["model"]})
        trainer.update.load_state_dict(state)
        trainer.balancer.load_state_dict(state["balancer"])
        torch.set_rng_state(state["rng"].cpu())
        if trainer.device.type == "cuda":
            torch.cuda.set_rng_state(state["device_rng"].cpu(), trainer.device)
        trainer.step, trainer.seconds = int(state["step"]), float(state["seconds"])
        trainer.origin, trainer.fronts.best = state["origin"], state["best"]
        trainer.fronts.reference = state["reference"]
        distributed.broadcast_(trainer.model.state_dict().values())


def _save_sealed(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path)
    seal(path)
