"""What a merged model keeps of what it was made of, for people and for cards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class MergedLayer:
    """One weight.

    Attributes:
        rank: r of its adapters.
        full: the rank at which nothing is lost.
        errors: per task, ‖Δ − BA‖ / ‖Δ‖.
        sizes: per task, ‖Δ‖.
    """

    rank: int
    full: int
    errors: tuple[float, ...]
    sizes: tuple[float, ...]


@dataclass(frozen=True)
class MergeReport:
    """All of them.

    Attributes:
        layers: by the weights' names.
        offsets: parameters that are no matrices and are mixed exactly.
        statistics: of BatchNorm: ``"none"`` are there (or all agree), ``"mixed"`` by λ from the checkpoints' own,
            ``"measured"`` on batches.
    """

    layers: Mapping[str, MergedLayer]
    offsets: tuple[str, ...] = ()
    statistics: str = "none"
    notes: tuple[str, ...] = field(default=())

    @property
    def error(self) -> float:
        """‖Δ − Δ̂‖ / ‖Δ‖ over all weights and tasks."""
        pairs = [pair for layer in self.layers.values() for pair in zip(layer.errors, layer.sizes)]
        total = math.hypot(*(size for _, size in pairs)) if pairs else 0.0
        return math.hypot(*(error * size for error, size in pairs)) / total if total else 0.0

    def to_json(self) -> dict[str, Any]:
        """For the card."""
        ranks = [layer.rank for layer in self.layers.values()]
        return {
            "layers": len(ranks),
            "ranks": [min(ranks), max(ranks)] if ranks else [],
            "error": self.error,
            "offsets": len(self.offsets),
            "statistics": self.statistics,
        }

    def __str__(self) -> str:
        told = {"none": "", "mixed": "; BatchNorm statistics mixed", "measured": "; BatchNorm statistics measured"}
        head = f"{len(self.layers)} layers, {len(self.offsets)} other parameters, relative error {self.error:.2g}"
        rows = [head + told[self.statistics] + "."]
        for name, layer in self.layers.items():
            errors = ", ".join(f"{error:.2g}" for error in layer.errors)
            rows.append(f"  {name}: rank {layer.rank} of {layer.full}, errors {errors}")
        return "\n".join([*rows, *self.notes])
