"""Limits: what a metric must at least, or at most, be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palora_core.errors import UserError, quoted

MOST = 12


@dataclass(frozen=True)
class Bound:
    """A limit on one column of a front: at least ``value`` where higher is better, else at most.

    Attributes:
        key: ``"task/metric"`` or ``"task/loss"``.
        value: in the metric's own unit (fractions are fractions).
    """

    key: str
    value: float

    def to_json(self) -> dict[str, Any]:
        """For files and the browser."""
        return {"key": self.key, "value": self.value}

    @classmethod
    def from_json(cls, found: Any, keys: Sequence[str]) -> Bound:
        """What :meth:`to_json` wrote, on one of the columns ``keys``.

        Raises:
            UserError: it is no bound on one of them.
        """
        key = found.get("key") if isinstance(found, Mapping) else None
        value = found.get("value") if isinstance(found, Mapping) else None
        if key not in keys:
            raise UserError(f"there is no metric {quoted(key)} to bound")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"the bound on {key} is {quoted(value)}, expected a number")
        return cls(key, float(value))


def to_link(bounds: Iterable[Bound]) -> str:
    """Bounds as one parameter of an address."""
    return ";".join(f"{bound.key}:{bound.value:.10g}" for bound in bounds)


def from_link(text: str, keys: Sequence[str]) -> tuple[tuple[Bound, ...], list[str]]:
    """The bounds in a parameter, and one sentence for each part that is none."""
    found: dict[str, Bound] = {}
    problems = []
    for part in filter(None, text.split(";")):
        key, _, value = part.rpartition(":")
        try:
            bound = Bound.from_json({"key": key, "value": _number(value)}, keys)
            if len(found) < MOST or key in found:
                found[key] = bound
        except UserError as error:
            problems.append(str(error))
    return tuple(found.values()), problems


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
