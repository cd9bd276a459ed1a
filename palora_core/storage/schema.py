"""Checks of single values of files that others may have written: a value of the right kind, or one sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from palora_core.errors import UserError, quoted

MOST_TASKS = 256  # T
MOST_POINTS = 20_000  # K of a front
MOST_NAME = 200  # characters of a name or a title
MOST_TEXT = 5_000  # characters of a licence, a citation, limits
MOST_LEAVES = 2_000  # numbers and texts in options
LARGEST = 1e100  # of a loss or a metric: beyond, squares and products leave what a float holds
# Line feeds and the like, and what turns the direction of writing around: none of them belongs into a name.
INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")


def wrong(name: str, value: Any, wanted: str) -> UserError:
    """The sentence on a value that is something else than wanted."""
    return UserError(f"{name} is {quoted(value)}; expected {wanted}.")


def text(value: Any, name: str, most: int = MOST_NAME) -> str:
    """A text of at most ``most`` characters, without line feeds and other invisible ones; None is ``""``."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(name, value, "a text")
    if len(value) > most:
        raise wrong(name, value, f"at most {most} characters")
    return INVISIBLE.sub(" ", value)


def name_in(value: Any, name: str) -> str:
    """A text that is not empty."""
    if not (found := text(value, name).strip()):
        raise wrong(name, value, "a name")
    return found


def number(value: Any, name: str, low: float = -LARGEST, high: float = LARGEST) -> float | None:
    """A finite number (as it is: whole numbers stay whole) between two bounds, or None."""
    if value is None:
        return None
    kind = isinstance(value, int | float) and not isinstance(value, bool)
    if not kind or not low <= value <= high:  # NaN is between no bounds
        raise wrong(name, value, "a number" if low == -LARGEST else f"a number from {low:g} to {high:g}")
    return value


def whole(value: Any, name: str, low: int = 0, high: int = 2**63 - 1) -> int | None:
    """A whole number between two bounds, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong(name, value, f"a whole number from {low} to {high:.4g}")
    return value


def mapping(value: Any, name: str) -> dict[str, Any]:
    """A JSON object; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong(name, value, "an object")
    return dict(value)


def options(value: Any, name: str, most: int = MOST_LEAVES) -> dict[str, Any]:
    """An object of options: any JSON, with short texts and not too much of it."""
    found = mapping(value, name)
    _count(found, name, [most])
    return found


def _count(value: Any, name: str, left: list[int]) -> None:
    left[0] -= 1
    if left[0] < 0:
        raise UserError(f"{name} holds more values than belong there.")
    if isinstance(value, str):
        text(value, name, MOST_TEXT)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            text(key, f"a name in {name}")
            _count(item, name, left)
    elif isinstance(value, list | tuple):
        for item in value:
            _count(item, name, left)


def task_names(value: Any, name: str) -> list[str]:
    """T ≥ 1 different names."""
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_TASKS:
        raise UserError(f"{name}: found {_counted(value)}; expected a list of 1 to {MOST_TASKS} names.")
    names = [name_in(item, name) for item in value]
    if len(set(names)) < len(names):
        raise UserError(f"{name} hold the same name twice.")
    return names


def _counted(value: Any) -> str:
    return f"{len(value):,} items" if isinstance(value, list | tuple) else quoted(value)


def table(value: Any, name: str, columns: int, rows: int, empty: bool = False) -> list[list[float | None]]:
    """Rows of ``columns`` numbers each, at most ``rows`` of them; a number that is not known is None."""
    if not isinstance(value, list | tuple) or len(value) > rows or not (value or empty):
        raise UserError(f"{name}: found {_counted(value)}; expected 1 to {rows:,} rows.")
    for row in value:
        if not isinstance(row, list | tuple) or len(row) != columns:
            raise UserError(f"{name} disagree on K or T: a row is {quoted(row)}; expected {columns} numbers.")
        for item in row:
            number(item, name)
    return [list(row) for row in value]
