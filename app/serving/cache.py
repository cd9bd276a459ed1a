"""A thread-safe least-recently-used cache with a bound on bytes instead of on entries."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Keeps the values used last as long as their sizes add up to at most ``capacity`` bytes.

    Args:
        capacity: bytes in all.
        size: the size of a value in bytes.
    """

    def __init__(self, capacity: int, size: Callable[[Value], int]) -> None:
        self.capacity = capacity
        self.used = 0
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        """The value of ``key``, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Hashable, value: Value) -> None:
        """Store a value; what was used longest ago makes room."""
        with self._lock:
            earlier = self._values.pop(key, None)
            self.used += self._size(value) - (0 if earlier is None else self._size(earlier))
            self._values[key] = value
            while self.used > self.capacity and len(self._values) > 1:
                _, dropped = self._values.popitem(last=False)
                self.used -= self._size(dropped)

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._values

    def __len__(self) -> int:
        return len(self._values)
