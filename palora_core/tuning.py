"""One budget of trials for every method: which settings are tried, and how each is judged, on the validation split.

A method is tried as published first, and then with learning rates and decisive options drawn from one generator, the
same for all methods; so whatever is chosen is at least as good on the validation split as the published setting.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palora_core.errors import UserError
from palora_core.methods.base import methods
from palora_core.storage.runs import Run

SPAN = 10.0  # learning rates are tried from a tenth to ten times the recipe's


def trials(method: str, lr: float, count: int) -> list[dict[str, str]]:
    """The settings of ``count`` trials: the learning rate, log-uniform, and the method's decisive options.

    Args:
        method: registry name.
        lr: of the recipe; the first trial has it, and nothing else that differs.
        count: how many.
    """
    draw = random.Random(0)  # the same factors for every method
    factors = [SPAN ** draw.uniform(-1, 1) for _ in range(count - 1)]
    kind: Any = methods.get(method)
    options: Mapping[str, tuple[float, ...]] = kind.decisive
    own = random.Random(1)
    drawn = [{name: f"{own.choice(values):g}" for name, values in options.items()} for _ in factors]
    return [{"lr": f"{lr:.3g}"}, *({"lr": f"{lr * factor:.3g}", **one} for factor, one in zip(factors, drawn))]


def validation_score(folder: Path) -> tuple[float, float]:
    """(hypervolume, worst Spearman) of a run's last front on the validation split; test items are never looked at.

    Raises:
        UserError: it has none.
    """
    fronts = [event for event in Run(folder).events() if event["kind"] == "front" and event.get("split") == "val"]
    if not fronts:
        raise UserError(f"{folder} has no front on the validation split; train it with evaluate_every of at least 1.")
    correlations = [0.0 if value is None else float(value) for value in fronts[-1]["spearman"]]
    return float(fronts[-1]["hypervolume"]), max(correlations)


def chosen(results: list[dict[str, Any]], lr: float) -> dict[str, Any]:
    """Of finished trials the one with the largest hypervolume, beside what the published setting has.

    Raises:
        UserError: none is finished.
    """
    if not results:
        raise UserError("None of the trials is finished; see their log.txt.")
    best = max(results, key=lambda row: row["hypervolume"])
    first = [row for row in results if row["settings"] == {"lr": f"{lr:.3g}"}]
    return {
        "settings": dict(best["settings"]),
        "validation": best["hypervolume"],
        "published": first[0]["hypervolume"] if first else math.nan,
        "trials": len(results),
    }
