"""Weights & Biases."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from palora_core.training.loggers import numbers, tool


class WandB:
    """Logs to the project ``palora`` (or ``$WANDB_PROJECT``); a resumed run goes on in the same one there.

    Args:
        options: of ``wandb.init``, before ours.

    Raises:
        UserError: wandb is not installed.
    """

    def __init__(self, **options: Any) -> None:
        self.wandb, self.options = tool("wandb", "wandb"), options
        self.run: Any = None

    def on_start(self, trainer: Any, values: Mapping[str, Any]) -> None:
        """Begin the run, or go on with it."""
        folder = trainer.run.folder
        first = trainer.run.events()[0]["time"]  # stays the same over resumes, and two runs have two
        own = {
            "id": hashlib.sha256(f"{folder.name} {first}".encode()).hexdigest()[:16],
            "name": folder.name,
            "dir": str(folder),
            "config": trainer.config(),
            "resume": "allow",
        }
        self.run = self.wandb.init(**{"project": "palora", **own, **self.options})

    def on_step(self, trainer: Any, values: Mapping[str, Any]) -> None:
        """Losses and learning rate."""
        self.run.log(numbers(values), step=values["step"])

    on_front = on_step

    def on_end(self, trainer: Any, values: Mapping[str, Any]) -> None:
        """End the run."""
        if self.run is not None:
            self.run.finish(exit_code=int(values["reason"] == "failed"))
