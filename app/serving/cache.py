"""A thread-safe least-recently-used cache with a bound on the bytes it really takes instead of on entries."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor

Value = TypeVar("Value")

# What an ordered dictionary takes for one entry beside key and value: its place in the table (which is up to half
# empty), a link in the order, and our note of the size.
ENTRY_BYTES = 256


def weigh(value: object) -> int:
    """Bytes of a value with all that it holds: headers of objects, containers, keys, arrays and tensors.

    What is held twice counts twice, so this may be more than is taken, never less.
    """
    size = sys.getsizeof(value)
    if isinstance(value, Mapping):
        return size + sum(weigh(key) + weigh(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return size + sum(map(weigh, value))
    if isinstance(value, Tensor):
        return size + value.untyped_storage().nbytes()
    if isinstance(value, np.ndarray):  # a view's own size leaves out what it looks at
        return size + (0 if value.base is None else value.nbytes)
    held = getattr(value, "__dict__", None)
    return size if held is None else size + weigh(held)


class ByteCache(Generic[Value]):
    """Keeps the values used last as long as they and their keys take at most ``capacity`` bytes.

    Args:
        capacity: bytes in all; only a single value that is larger than this may take more.
        size: the size of a value in bytes.
    """

    def __init__(self, capacity: int, size: Callable[[Value], int] = weigh) -> None:
        self.capacity = capacity
        self.used = 0
        self._size = size
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        """The value of ``key``, or None."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: Value) -> None:
        """Store a value; what was used longest ago makes room."""
        taken = ENTRY_BYTES + weigh(key) + self._size(value)
        with self._lock:
            _, earlier = self._values.pop(key, (None, 0))
            self.used += taken - earlier
            self._values[key] = (value, taken)
            while self.used > self.capacity and len(self._values) > 1:
                _, (_, dropped) = self._values.popitem(last=False)
                self.used -= dropped

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._values

    def __len__(self) -> int:
        return len(self._values)
