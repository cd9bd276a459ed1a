"""Limits and trade-offs for the browser: which part of pad and front meets limits, and what is to be said at λ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.analysis import limits, trade_offs
from app.analysis.queries import Wish, columns
from app.library.loading import LoadedModel


def limits_data(loaded: LoadedModel, preference: Sequence[float], wishes: Sequence[Wish]) -> dict[str, Any]:
    """What the browser draws and shows.

    Args:
        loaded: the model.
        preference: λ [T].
        wishes: the limits.

    Returns:
        ``feasible``, polygons of λ's, and ``meets``, one per evaluated point (both None without limits);
        ``sentences`` about λ.
    """
    front = loaded.front
    if front is None or loaded.num_tasks < 2 or not loaded.model.controllable:
        return {"feasible": None, "meets": None, "sentences": []}
    leading = trade_offs.leading(columns(front, loaded.tasks), loaded.tasks)
    said = [limits.here(front, wishes, preference), *trade_offs.sentences(front, leading, preference)]
    drawn = {
        "feasible": [part.round(5).tolist() for part in limits.feasible_part(front, wishes)] if wishes else None,
        "meets": limits.meets(wishes).tolist() if wishes else None,
    }
    return {**drawn, "sentences": [text for text in said if text]}
