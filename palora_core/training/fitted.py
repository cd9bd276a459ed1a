"""What pc.fit gives back: the folder of a run, and its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError
from palora_core.evaluation.front import Front
from palora_core.storage.cards import read_card
from palora_core.storage.runs import Run


@dataclass(frozen=True)
class Fitted:
    """A training's run folder and its model.

    Attributes:
        folder: holds all that ``palora train`` leaves.
        model: the trained network in evaluation mode; of a run that was stopped, as far as it came.
    """

    folder: Path
    model: ParetoModel

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        return Run(self.folder).status() == "finished"

    def front(self) -> Front:
        """The front of the test split.

        Raises:
            UserError: the run is not finished.
        """
        self._check_finished()
        return Front.load(self.folder / "front.json")

    def card(self) -> dict[str, Any]:
        """The model card.

        Raises:
            UserError: the run is not finished.
        """
        self._check_finished()
        return read_card(self.folder)

    def events(self) -> list[dict[str, Any]]:
        """What happened, as ``events.jsonl`` has it."""
        return Run(self.folder).events()

    def _check_finished(self) -> None:
        if not self.finished:
            raise UserError(
                f"The run in {self.folder} is {Run(self.folder).status()}, and its front and card come at the end; go "
                "on with pc.fit(…, out=…, resume=True)."
            )
