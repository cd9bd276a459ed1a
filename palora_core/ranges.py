"""Ranges of options, declared with their types: ``rank: Annotated[int, Range(1, 4096)]``.

Whoever sets an option (a command line, a form, a config) is refused by the same sentence, before long work begins.
"""

from __future__ import annotations

import inspect
import math
import typing
from dataclasses import dataclass
from typing import Annotated, Any

from palora_core.errors import UserError, quoted


@dataclass(frozen=True)
class Range:
    """The numbers that an option may be.

    Attributes:
        low: the smallest one, or the one it must be above.
        high: the largest one, or the one it must be below.
        open_low: ``low`` itself is not allowed.
        open_high: ``high`` itself is not allowed.
    """

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: object) -> bool:
        """Whether ``value`` is a finite number inside."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        """``"at least 1"``, ``"from 0 to 1"``, ``"above 0 and below 0.5"``."""
        low = f"above {_number(self.low)}" if self.open_low else f"at least {_number(self.low)}"
        if math.isinf(self.high):
            return low
        if not self.open_low and not self.open_high:
            return f"from {_number(self.low)} to {_number(self.high)}"
        return f"{low} and {'below' if self.open_high else 'at most'} {_number(self.high)}"

    def check(self, name: str, value: Any) -> None:
        """Refuse a value outside.

        Raises:
            UserError: naming the option, its range and what was found.
        """
        if value not in self:
            raise UserError(f"{name} must be {self}, found {quoted(value)}.")


Positive = Annotated[float, Range(0, open_low=True)]
NotNegative = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]
Count = Annotated[int, Range(1)]
CountOrNone = Annotated[int, Range(0)]  # 0 stands for none, or for all


def ranges_of(kind: Any) -> dict[str, Range]:
    """Option → its range, for a dataclass; a subclass that only changes a default keeps the range."""
    found: dict[str, Range] = {}
    for cls in reversed(kind.__mro__[:-1]):
        own = inspect.get_annotations(cls)
        hints = typing.get_type_hints(cls, include_extras=True) if own else {}
        for name in own:
            parts = typing.get_args(hints[name]) if typing.get_origin(hints[name]) is Annotated else ()
            found.update((name, part) for part in parts if isinstance(part, Range))
    return found


def check_ranges(config: Any) -> None:
    """Refuse a dataclass one of whose options lies outside its range.

    Raises:
        UserError: naming the option, its range and what was found.
    """
    for name, allowed in ranges_of(type(config)).items():
        allowed.check(name, getattr(config, name))


def _number(value: float) -> str:
    if value > 10**15 and value == 2 ** (power := round(math.log2(value))):
        return f"2^{power}"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"
