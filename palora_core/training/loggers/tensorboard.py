"""TensorBoard: event files in the run folder, ``tensorboard --logdir runs``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palora_core.training.loggers import numbers, tool


class TensorBoard:
    """Writes scalars below ``RUN/tensorboard``; a resumed run goes on in the same curves.

    Raises:
        UserError: tensorboard is not installed.
    """

    def __init__(self) -> None:
        self.kind = tool("tensorboard", "torch.utils.tensorboard").SummaryWriter
        self.writer: Any = None

    def on_start(self, trainer: Any, values: Mapping[str, Any]) -> None:
        """Open the files; steps after ``values["step"]`` are made again."""
        folder = trainer.run.folder / "tensorboard"
        self.writer = self.kind(log_dir=str(folder), purge_step=values["step"] + 1 if values["resumed"] else None)

    def on_step(self, trainer: Any, values: Mapping[str, Any]) -> None:
        """Losses and learning rate."""
        for name, value in numbers(values).items():
            self.writer.add_scalar(name, value, values["step"])

    on_front = on_step

    def on_end(self, trainer: Any, values: Mapping[str, Any]) -> None:
        """Close the files."""
        if self.writer is not None:
            self.writer.close()
