"""Figures for people: the one rule by which a number is rounded, wherever it is shown.

Fractions are shown in percent with one decimal, everything else with four significant digits; a change is that between
the two figures as they are shown. Halves are rounded away from zero, as browsers do, whose copy is ``numbers.js``.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

DIGITS = 4
LEAST, MOST = 1e-4, 1e6  # beyond these, numbers are written with an exponent
UNKNOWN = "–"


def figure(value: float | None, unit: str = "") -> str:
    """A number with its unit: ``'95.5 %'``, ``'12.31 °'``, ``'0.0141'``; ``'–'`` for what is not known."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if unit == "%":
        return f"{_fixed(100 * value, 1)} %"
    return f"{_significant(value)} {unit}".rstrip()


def change(now: float | None, before: float | None, unit: str = "") -> str:
    """What a figure has changed by, with its sign and unit: ``'+0.4 points'``, ``'−0.0049 m'``, ``'±0'``."""
    if now is None or before is None or not (math.isfinite(now) and math.isfinite(before)):
        return UNKNOWN
    if unit == "%":
        decimals, unit = 1, "points"
        by = Decimal(_fixed(100 * now, 1)) - Decimal(_fixed(100 * before, 1))
    else:
        decimals = max(_decimals(now), _decimals(before))
        by = Decimal(_significant(now)) - Decimal(_significant(before))
    size = _stripped(_fixed(abs(by), decimals)) if unit != "points" else _fixed(abs(by), decimals)
    sign = "±" if Decimal(size) == 0 else "+" if by > 0 else "−"
    return f"{sign}{size} {unit}".rstrip()


def _fixed(value: float | Decimal, decimals: int) -> str:
    exact = Decimal(value)
    if abs(exact) >= Decimal(10) ** 20:
        return f"{exact:.3e}"
    return f"{exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP):f}"


def _significant(value: float) -> str:
    if value == 0:
        return "0"
    if not LEAST <= abs(value) < MOST:
        mantissa, exponent = f"{value:.{DIGITS - 1}e}".split("e")
        return f"{_stripped(mantissa)}e{int(exponent):+d}"
    return _stripped(_fixed(value, _decimals(value)))


def _decimals(value: float) -> int:
    """How many decimals show four significant digits."""
    return 0 if value == 0 else min(12, max(0, DIGITS - 1 - Decimal(value).adjusted()))


def _stripped(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
