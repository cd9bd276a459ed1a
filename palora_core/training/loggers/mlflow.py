"""MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from palora_core.training.loggers import numbers, tool

NOTE = "mlflow.json"  # in the run folder: which run of MLflow's it is
MOST_OF_VALUE = 500  # MLflow refuses longer parameters


class MLflow:
    """Logs to the tracking server of the environment; a resumed run goes on in the same one there.

    Args:
        options: of ``mlflow.start_run``, before ours.

    Raises:
        UserError: mlflow is not installed.
    """

    def __init__(self, **options: Any) -> None:
        self.mlflow, self.options = tool("mlflow", "mlflow"), options
        self.begun = False

    def on_start(self, trainer: Any, values: Mapping[str, Any]) -> None:
        """Begin the run, or go on with it."""
        note = trainer.run.folder / NOTE
        known = {"run_id": json.loads(note.read_text())["run_id"]} if note.exists() else {}
        run = self.mlflow.start_run(**{"run_name": trainer.run.folder.name, **known, **self.options})
        self.begun = True
        if not known:
            note.write_text(json.dumps({"run_id": run.info.run_id}))
            settings = {
                f"{part}.{key}": str(value)[:MOST_OF_VALUE]
                for part, options in trainer.config().items()
                if isinstance(options, Mapping)
                for key, value in options.items()
            }
            self.mlflow.log_params(settings)

    def on_step(self, trainer: Any, values: Mapping[str, Any]) -> None:
        """Losses and learning rate."""
        self.mlflow.log_metrics(numbers(values), step=values["step"])

    on_front = on_step

    def on_end(self, trainer: Any, values: Mapping[str, Any]) -> None:
        """End the run."""
        if self.begun:
            self.mlflow.end_run(status="FAILED" if values["reason"] == "failed" else "FINISHED")
