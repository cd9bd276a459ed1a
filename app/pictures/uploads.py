"""Inputs that people send: kept in memory for a while, never written to disk."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from app.serving.cache import weigh
from palora_core.errors import UserError

MOST_KEPT = 1024


@dataclass
class _Kept:
    shown: Any
    name: str
    size: int
    used: float


class UploadStore:
    """Inputs, as people see them, by unguessable token; the longest unused ones go when there are too many, all expire.

    Args:
        capacity: bytes in all.
        lifetime: seconds since the last use.
    """

    def __init__(self, capacity: int = 96 * 2**20, lifetime: float = 3600.0) -> None:
        self.capacity = capacity
        self.lifetime = lifetime
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, shown: Any, name: str = "") -> str:
        """Keep an input; returns its token."""
        token = f"upload-{secrets.token_urlsafe(16)}"
        with self._lock:
            self._kept[token] = _Kept(shown, name, weigh(shown), time.monotonic())
            self._expire()
            while len(self._kept) > 1 and (len(self._kept) > MOST_KEPT or self._bytes() > self.capacity):
                self._kept.popitem(last=False)
        return token

    def get(self, token: str) -> Any:
        """The input of a token, as people see it.

        Raises:
            UserError: unknown or expired.
        """
        with self._lock:
            self._expire()
            item = self._kept.get(token)
            if item is None:
                raise UserError("Your input is no longer in the server's memory; send it again.")
            item.used = time.monotonic()
            self._kept.move_to_end(token)
            return item.shown

    def peek(self, token: str) -> Any:
        """The input of a token, None if it has expired; this is no use that keeps it."""
        with self._lock:
            self._expire()
            item = self._kept.get(token)
            return None if item is None else item.shown

    def _bytes(self) -> int:
        return sum(item.size for item in self._kept.values())

    def __contains__(self, token: str) -> bool:
        with self._lock:
            self._expire()
            return token in self._kept

    def _expire(self) -> None:
        limit = time.monotonic() - self.lifetime
        for token in [token for token, item in self._kept.items() if item.used < limit]:
            del self._kept[token]
