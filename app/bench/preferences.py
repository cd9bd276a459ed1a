"""λ as people and addresses write it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from app.serving.protocol import LIMIT, snap

Preference = tuple[float, ...]


def written(preference: Sequence[float]) -> str:
    """λ [T] as the address has it: ``"0.3,0.7"``."""
    return ",".join(f"{value:g}" for value in preference)


def parsed(text: str, num_tasks: int) -> Preference | None:
    """λ from ``"0.3,0.7"``; None if it is not T finite numbers."""
    try:
        return checked([float(part) for part in text.split(",")], num_tasks)
    except ValueError:
        return None


def checked(value: Any, num_tasks: int) -> Preference | None:
    """λ [T] within the limits, in the four decimals that all pages, files and the address have; or None."""
    if not isinstance(value, list | tuple) or len(value) != num_tasks:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in value):
        return None
    return tuple(snap([min(LIMIT, max(-LIMIT, float(v))) for v in value], exact=True))


def told(preference: Sequence[float], most: int = 6) -> str:
    """λ in words: ``"λ = (0.30, 0.70)"``, to the decimals that it needs."""
    digits = next(d for d in (2, 3, 4) if d == 4 or all(abs(round(v, d) - v) < 1e-9 for v in preference))
    some = ", ".join(f"{value:.{digits}f}" for value in preference[:most])
    return f"λ = ({some}{', …' if len(preference) > most else ''})".replace("-", "−")
