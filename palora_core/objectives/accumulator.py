"""Adding up a split for one objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from palora_core import batches
from palora_core.batches import Batch
from palora_core.errors import UserError
from palora_core.objectives.failures import objective_failures
from palora_core.objectives.metrics import Convention, Measure, Sums, sum_dtype

if TYPE_CHECKING:
    from palora_core.objectives.base import Objective


class Accumulator:
    """Adds up a split for one objective, batch by batch.

    `state` holds plain sums; to combine processes, add each of its tensors (all-reduce) before `compute`.
    """

    def __init__(self, objective: Objective, convention: Convention = "exact") -> None:
        if convention not in ("exact", "published"):
            raise UserError(f"convention is {convention!r}; expected 'exact' or 'published'")
        self.objective = objective
        self.convention: Convention = convention
        self.state: Sums = {}
        self.meters: list[Any] = []

    def update(self, outputs: Any, batch: Batch) -> None:
        """Add a batch; nothing is copied from the device."""
        with torch.no_grad():
            with objective_failures(self.objective.name, outputs, batch):
                sums = self.objective.sums(outputs, batch)
            self._add(sums)
            self._measure(outputs, batch)

    def _add(self, sums: Sums) -> None:
        sums = dict(sums)
        if self.convention == "published":
            means = self.objective.summarise(_wide(sums), self.convention)
            for name in self.objective.averaged_over_batches:
                valid = torch.isfinite(means[name])
                sums[f"batch/{name}"] = torch.where(valid, means[name], 0)
                sums[f"batches/{name}"] = valid.long()
        for name, value in sums.items():
            self.state[name] = self.state[name].to(value.device) + value if name in self.state else value

    def _measure(self, outputs: Any, batch: Batch) -> None:
        if not self.objective.measures:
            return
        if not self.meters:
            device = batches.tensors(outputs)[0].device
            self.meters = [measure.fresh(device) for measure in self.objective.measures]
        for measure, meter in zip(self.objective.measures, self.meters):
            try:
                meter.update(*(measure.read or self.objective.read)(outputs, batch))
            except Exception as error:
                raise self._broken(measure, error) from error

    def merge(self, other: Accumulator) -> None:
        """Add what another accumulator of the same objective and convention has seen.

        Raises:
            UserError: metrics that are not sums cannot be merged.
        """
        if self.objective.measures:
            raise UserError(f"Metrics of {self.objective.name!r} are no sums; evaluate whole splits in one process.")
        for name, value in other.state.items():
            self.state[name] = self.state[name] + value.to(self.state[name].device) if name in self.state else value

    def compute(self) -> dict[str, float]:
        """The objective's metrics and its "loss"; NaN where the split had no valid element.

        Raises:
            UserError: If no batch was added, or a metric fails or gives no single number.
        """
        if not self.state:
            raise UserError(f"objective {self.objective.name!r} has seen no batch; call update before compute")
        values = self.objective.summarise(_wide(self.state), self.convention)
        if self.convention == "published":
            for name in self.objective.averaged_over_batches:
                values[name] = self.state[f"batch/{name}"] / self.state[f"batches/{name}"]
        found = {name: float(value) for name, value in values.items()}
        for measure, meter in zip(self.objective.measures, self.meters):
            try:
                found[measure.metric.name] = float(meter.compute())
            except Exception as error:
                raise self._broken(measure, error) from error
        return found

    def _broken(self, measure: Measure, error: Exception) -> UserError:
        reason = str(error).partition("\n")[0][:200]
        return UserError(
            f"The metric {measure.metric.name!r} of the objective {self.objective.name!r} failed "
            f"({type(error).__name__}: {reason}); it must take what its reader gives and compute one number."
        )


def _wide(sums: Mapping[str, Tensor]) -> Sums:
    return {name: value.to(sum_dtype(value)) for name, value in sums.items()}
