"""How a front grew out of one point: what a Pareto expansion's run folder tells, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from palora_core.errors import UserError
from palora_core.storage.runs import Run


@dataclass(frozen=True)
class Growth:
    """The validation fronts of one expansion.

    Attributes:
        alpha: α of Eq. 1.
        tasks: T names.
        preferences: λ's [K, T] of every front.
        fronts: objectives [E + 1, K, T]; the first is the checkpoint's, before any training.
        hypervolumes: one per front [E + 1].
        test_hypervolume: of the final front on the test split.
    """

    alpha: float
    tasks: tuple[str, ...]
    preferences: np.ndarray
    fronts: np.ndarray
    hypervolumes: tuple[float, ...]
    test_hypervolume: float

    @property
    def start(self) -> np.ndarray:
        """The checkpoint's objectives [T]."""
        return self.fronts[0].mean(0)

    @property
    def spread(self) -> np.ndarray:
        """Per front, the distance [E + 1] between the two points of it that are farthest apart."""
        return np.array([np.linalg.norm(f[:, None] - f[None], axis=-1).max() for f in self.fronts])

    def to_json(self) -> dict[str, Any]:
        """The figures, rounded to six digits."""
        return {
            "alpha": self.alpha,
            "tasks": list(self.tasks),
            "preferences": self.preferences.tolist(),
            "fronts": self.fronts.round(6).tolist(),
            "hypervolume": [round(value, 6) for value in self.hypervolumes],
            "spread": self.spread.round(6).tolist(),
            "test_hypervolume": round(self.test_hypervolume, 6),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Growth:
        """What :meth:`to_json` gave."""
        return Growth(
            alpha=data["alpha"],
            tasks=tuple(data["tasks"]),
            preferences=np.array(data["preferences"]),
            fronts=np.array(data["fronts"]),
            hypervolumes=tuple(data["hypervolume"]),
            test_hypervolume=data["test_hypervolume"],
        )


def growth(run: Run) -> Growth:
    """Read a finished expansion.

    Raises:
        UserError: the run is none, or not finished.
    """
    config = run.config()
    try:
        source, alpha = config["training"]["start_from"], config["method"]["conditioning"]["alpha"]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{run.folder}/config.json does not describe an expansion ({error!r}); run palora expand first."
        ) from None
    events = [event for event in run.events() if event["kind"] == "front"]
    if run.status() != "finished" or not source or len(events) < 2:
        raise UserError(f"{run.folder} is not a finished expansion; run palora expand first.")
    from palora_core.evaluation.front import Front

    final = Front.load(run.folder / "front.json")
    return Growth(
        alpha=float(alpha),
        tasks=final.tasks,
        preferences=np.array(events[-1]["preferences"]),
        fronts=np.array([event["objectives"] for event in events]),
        hypervolumes=tuple(float(event["hypervolume"]) for event in events),
        test_hypervolume=final.hypervolume(),
    )
